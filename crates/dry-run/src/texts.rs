//! The texts of a line, each with the key that it stands under. Names of devices and registries are not among them: a replay could not
//! read a masked one.

use crate::{
    call::{DeviceLine, HostCall, MethodLine},
    effect::{EffectLine, OutcomeLine},
    event::{Data, EventLine},
    payload::Payload,
    recording::ExecutionLine,
};

/// The position of a text.
pub(crate) enum TextRef<'a> {
    Payload(&'a mut Payload),
    Text(&'a mut String),
}

impl TextRef<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Payload(payload) => &payload.0,
            Self::Text(text) => text.as_bytes(),
        }
    }

    pub(crate) fn replace(self, new: Vec<u8>) {
        match self {
            Self::Payload(payload) => payload.0 = new.into(),
            Self::Text(text) => *text = String::from_utf8_lossy(&new).into_owned(),
        }
    }
}

/// Called for each text with its key; the key is empty if there is none. A key that is a text itself comes after its value.
pub(crate) type Visit<'v> = dyn FnMut(&str, TextRef<'_>) + 'v;

pub(crate) fn execution(line: &mut ExecutionLine, visit: &mut Visit<'_>) {
    event(&mut line.event, visit);
    line.calls.iter_mut().for_each(|recorded_call| call(recorded_call, visit));
    line.effects.iter_mut().for_each(|line_effect| effect(line_effect, visit));
    line.logs.iter_mut().for_each(|written| text(written, visit));
    if let OutcomeLine::Retry(why) | OutcomeLine::Reject(why) | OutcomeLine::Failed(why) = &mut line.outcome {
        text(why, visit);
    }
}

pub(crate) fn text(text: &mut String, visit: &mut Visit<'_>) {
    visit("", TextRef::Text(text));
}

fn payload(payload: &mut Payload, visit: &mut Visit<'_>) {
    visit("", TextRef::Payload(payload));
}

fn properties(properties: &mut [(String, String)], visit: &mut Visit<'_>) {
    for (name, value) in properties {
        visit(name, TextRef::Text(value));
        text(name, visit);
    }
}

fn event(event: &mut EventLine, visit: &mut Visit<'_>) {
    match &mut event.data {
        Data::Telemetry { subfolder: place, payload: data, properties: more }
        | Data::Topic { topic: place, payload: data, properties: more } => {
            text(place, visit);
            payload(data, visit);
            properties(more, visit);
        }
        Data::State { payload: data, .. } => payload(data, visit),
        Data::Timer { name, payload: data, .. } => {
            text(name, visit);
            payload(data, visit);
        }
        Data::Disconnected { reason } => text(reason, visit),
        Data::Connected | Data::CommandSettled { .. } => {}
    }
}

/// A call of the host, with its answer.
pub(crate) fn call(call: &mut HostCall, visit: &mut Visit<'_>) {
    match call {
        HostCall::Device { answer, .. } => answer.iter_mut().for_each(|found| device(found, visit)),
        HostCall::List { pattern, answer, .. } => {
            text(pattern, visit);
            answer.iter_mut().for_each(|found| device(found, visit));
        }
        HostCall::Config { answer, .. } => answer.iter_mut().for_each(|found| payload(&mut found.payload, visit)),
        HostCall::Twin { answer: Ok(document), .. } => payload(document, visit),
        HostCall::Twin { answer: Err(why), .. } => text(why, visit),
        HostCall::StateGet { key, answer } => {
            if let Some(found) = answer {
                visit(key, TextRef::Payload(&mut found.value));
            }
            text(key, visit);
        }
        HostCall::StateKeys { prefix, after, answer, .. } => {
            text(prefix, visit);
            after.iter_mut().chain(answer).for_each(|key| text(key, visit));
        }
        HostCall::TimerHas { name, .. } => text(name, visit),
        HostCall::Method { method, payload: data, answer, .. } => {
            text(method, visit);
            payload(data, visit);
            method_answer(answer, visit);
        }
        HostCall::Has { .. }
        | HostCall::StateBytes { .. }
        | HostCall::CommandRoom { .. }
        | HostCall::TimerCount { .. } => {}
    }
}

fn method_answer(answer: &mut MethodLine, visit: &mut Visit<'_>) {
    match answer {
        MethodLine::Answered { payload: data, .. } => payload(data, visit),
        MethodLine::Offline(why)
        | MethodLine::TimedOut(why)
        | MethodLine::Invalid(why)
        | MethodLine::Unavailable(why)
        | MethodLine::NewTargets(why) => text(why, visit),
        MethodLine::NoAnswer => {}
    }
}

fn device(device: &mut DeviceLine, visit: &mut Visit<'_>) {
    device.metadata.iter_mut().for_each(|(name, value)| visit(name, TextRef::Text(value)));
}

fn effect(effect: &mut EffectLine, visit: &mut Visit<'_>) {
    match effect {
        EffectLine::Config { payload: data, .. } | EffectLine::PatchDesired { patch: data, .. } => payload(data, visit),
        EffectLine::Command { subfolder, payload: data, properties: more, .. } => {
            text(subfolder, visit);
            payload(data, visit);
            properties(more, visit);
        }
        EffectLine::Publish { topic: place, payload: data, .. }
        | EffectLine::TimerSet { name: place, payload: data, .. } => {
            text(place, visit);
            payload(data, visit);
        }
        EffectLine::TimerCancel { name } => text(name, visit),
        EffectLine::State { key, value, .. } => {
            if let Some(value) = value {
                visit(key, TextRef::Payload(value));
            }
            text(key, visit);
        }
    }
}
