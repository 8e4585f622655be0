//! Estimates the size of events and executions as JSON, so that pages end before they are too large. An estimate may be a little too small.

use switchbox_model::{CallRecord, CallResult, DeadLetter, Effect, Event, EventData, Handled, Outcome, Property};

/// Names, times and brackets of one item.
const FRAME: usize = 512;

/// Items whose bytes a page bounds.
pub(super) trait Weight {
    fn weight(&self) -> usize;
}

fn base64(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

/// A text with its escapes.
fn text(text: &str) -> usize {
    let byte = |byte| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(byte).sum()
}

fn logs(lines: &[String]) -> usize {
    lines.iter().map(|line| 3 + text(line)).sum()
}

fn properties(properties: &[Property]) -> usize {
    properties.iter().map(|(name, value)| 24 + text(name) + text(value)).sum()
}

impl Weight for Event {
    fn weight(&self) -> usize {
        FRAME
            + match &self.data {
                EventData::Connected => 0,
                EventData::Disconnected { reason } => text(reason),
                EventData::Telemetry { subfolder, payload, properties: props } => {
                    text(subfolder) + base64(payload) + properties(props)
                }
                EventData::State { payload, .. } => base64(payload),
                EventData::CommandSettled { id, .. } => text(id),
                EventData::Timer { name, payload, .. } => text(name) + base64(payload),
                EventData::Topic { topic, payload, properties: props } => {
                    text(topic) + base64(payload) + properties(props)
                }
            }
    }
}

fn effect(effect: &Effect) -> usize {
    FRAME
        + match effect {
            Effect::Config { payload, .. } | Effect::ConfigForced { payload, .. } => base64(payload),
            Effect::Command { id, subfolder, payload, properties: props, .. } => {
                text(id) + text(subfolder) + base64(payload) + properties(props)
            }
            Effect::Publish { topic, payload, .. } => text(topic) + base64(payload),
            Effect::TimerSet(timer) => text(&timer.name) + base64(&timer.payload),
            Effect::TimerCancel { name } => text(name),
            // Bytes that are not text are shown with three bytes for one.
            Effect::PatchDesired { patch, .. } => str::from_utf8(patch).map_or(patch.len() * 3, text),
            Effect::Kv(write) => text(&write.key),
        }
}

impl Weight for Handled {
    fn weight(&self) -> usize {
        FRAME
            + logs(&self.logs)
            + match &self.outcome {
                Outcome::Done { effects } => effects.iter().map(effect).sum(),
                Outcome::Dead { error, .. } => text(error),
            }
    }
}

impl Weight for CallRecord {
    fn weight(&self) -> usize {
        let result = match &self.result {
            CallResult::Answered { payload, .. } => base64(payload),
            CallResult::Failed(why) => text(why),
        };
        FRAME + text(&self.id) + text(&self.method) + base64(&self.request) + result
    }
}

impl Weight for DeadLetter {
    fn weight(&self) -> usize {
        FRAME + logs(&self.logs) + text(&self.error) + self.event.weight()
    }
}
