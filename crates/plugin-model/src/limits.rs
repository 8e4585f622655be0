//! The limits of one plugin, with their defaults and text forms (`100ms`, `32MiB`, `10/s`). Only values: other modules enforce them.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

pub use super::rate::Rate;
pub use switchbox_model::limits::plugin_names as names;
use switchbox_model::limits::{EFFECTS_PER_EVENT, HOST_CALLS};
pub use switchbox_rules::size::Size;
use switchbox_rules::{calls::raised_by, duration};

/// More than any device can take: it bounds a loop inside the host and never slows a real device down.
const RATE_PER_DEVICE: Rate = Rate::per_second(200_000);
/// Lower, because a loop through a topic needs no device.
const RATE_PER_TOPIC: Rate = Rate::per_second(10_000);
const EFFECTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();

/// Bytes of memory that each instance of the pool has, so no plugin can have more.
pub const MAX_MEMORY: u64 = 256 * 1024 * 1024;

/// Most guest time of an event or of a start, and most waiting for devices of an event.
const MAX_GUEST_TIME: Duration = Duration::from_secs(60);
const MAX_HOST_CALL_TIME: Duration = Duration::from_secs(600);

/// Most bytes of output of one event. All of it is in one entry of the journal.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;
/// Most log lines, host calls or effects of one event.
const MAX_COUNT: u32 = 1_000_000;

/// The `[limits]` of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// The guest's CPU time and its sleep for an event; waiting for devices does not count.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// The same for `describe` and for `start`.
    #[serde(with = "duration")]
    pub start_deadline: Duration,
    /// Linear memory of an instance.
    pub memory: Size,
    /// Bytes of log lines, standard output and standard error per event.
    pub output: Size,
    /// Log lines per event, standard output and standard error included.
    pub log_lines: u32,
    /// Calls of the host per event.
    pub host_calls: u32,
    /// Time per event that calls of devices may take: method calls and reads of twins.
    #[serde(with = "duration")]
    pub host_call_time: Duration,
    /// Effects per event, writes of the plugin's own state included.
    pub effects_per_event: u32,
    /// Effects on one device or topic in a second. With `None` the default applies, see [`Limits::rate_per_device`].
    pub rate_per_target: Option<Rate>,
    /// The burst of effects on one device or topic. With `None` it is as many as the rate has in a second.
    pub burst_per_target: Option<NonZeroU32>,
    /// Effects per second on all devices and topics together.
    pub effects_per_second: NonZeroU32,
    /// Devices and topics that one event may reach without an operator's approval. `None` for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_targets_per_event: Option<NonZeroU32>,
    /// Devices and topics that the plugin has not reached before and may reach in a minute without an operator's approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_targets_per_minute: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(100),
            start_deadline: Duration::from_secs(5),
            memory: Size(32 * 1024 * 1024),
            output: Size(64 * 1024),
            log_lines: 256,
            host_calls: HOST_CALLS,
            host_call_time: Duration::from_secs(30),
            effects_per_event: EFFECTS_PER_EVENT,
            rate_per_target: None,
            burst_per_target: None,
            effects_per_second: EFFECTS_PER_SECOND,
            max_targets_per_event: None,
            max_new_targets_per_minute: None,
        }
    }
}

impl Limits {
    /// The end of the text of a limit that was hit: the line of the settings file that gives twice as much. Empty where there is no more.
    pub fn raise(&self, key: &str) -> String {
        let time = |now: Duration, most| (now < most).then(|| format!("\"{}\"", duration::text(most.min(2 * now))));
        let size = |now: Size, most| (now.0 < most).then(|| format!("\"{}\"", Size(most.min(2 * now.0))));
        let value = match key {
            "deadline" => time(self.deadline, MAX_GUEST_TIME),
            "start-deadline" => time(self.start_deadline, MAX_GUEST_TIME),
            "host-call-time" => time(self.host_call_time, MAX_HOST_CALL_TIME),
            "memory" => size(self.memory, MAX_MEMORY),
            "output" => size(self.output, MAX_OUTPUT),
            "log-lines" => Some(MAX_COUNT.min(self.log_lines.saturating_mul(2)).to_string()),
            _ => None,
        };
        value.map(|value| raised_by(key, value)).unwrap_or_default()
    }

    /// The rate for each device.
    #[must_use]
    pub fn rate_per_device(&self) -> Rate {
        self.rate_per_target.unwrap_or(RATE_PER_DEVICE)
    }

    /// The rate for each topic.
    #[must_use]
    pub fn rate_per_topic(&self) -> Rate {
        self.rate_per_target.unwrap_or(RATE_PER_TOPIC)
    }

    /// The values out of range, each with its key and a text. Empty if all are valid.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut durations = |key, value: Duration, most: Duration| {
            if value.is_zero() || value > most {
                problems.push((key, format!("must be more than 0 and at most {}", duration::text(most))));
            }
        };
        durations("deadline", self.deadline, MAX_GUEST_TIME);
        durations("start-deadline", self.start_deadline, MAX_GUEST_TIME);
        durations("host-call-time", self.host_call_time, MAX_HOST_CALL_TIME);
        if self.output.0 > MAX_OUTPUT {
            problems.push(("output", format!("must be at most {}", Size(MAX_OUTPUT))));
        }
        for (key, value) in [
            ("log-lines", self.log_lines),
            ("host-calls", self.host_calls),
            ("effects-per-event", self.effects_per_event),
        ] {
            if value > MAX_COUNT {
                problems.push((key, format!("must be at most {MAX_COUNT}")));
            }
        }
        if self.memory.0 == 0 || self.memory.0 > MAX_MEMORY {
            problems.push(("memory", format!("must be more than 0 and at most {}", Size(MAX_MEMORY))));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_says_which_line_raises_it() {
        let limits = Limits { memory: Size(MAX_MEMORY), start_deadline: Duration::from_secs(40), ..Limits::default() };
        for (key, expect) in [
            ("deadline", "; deadline = \"200ms\" under [limits] of its .toml raises it"),
            ("start-deadline", "; start-deadline = \"1m\" under [limits] of its .toml raises it"),
            ("host-call-time", "; host-call-time = \"1m\" under [limits] of its .toml raises it"),
            ("output", "; output = \"128KiB\" under [limits] of its .toml raises it"),
            ("log-lines", "; log-lines = 512 under [limits] of its .toml raises it"),
            ("memory", ""),
            ("stack", ""),
        ] {
            assert_eq!(limits.raise(key), expect);
        }
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert_eq!(Limits::default().problems(), []);
        let limits = Limits { memory: Size(1 << 40), deadline: Duration::ZERO, ..Limits::default() };
        assert_eq!(limits.problems().len(), 2);
    }
}
