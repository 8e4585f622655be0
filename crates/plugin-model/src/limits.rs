//! The limits of one plugin, with their defaults and text forms (`100ms`, `32MiB`, `10/s`). Only values: other modules enforce them.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

pub use super::rate::Rate;
pub use switchbox_model::limits::plugin_names as names;
use switchbox_model::limits::{COUNT_PER_EVENT_MAX, EFFECTS_PER_EVENT, HOST_CALLS, LimitName};
pub use switchbox_rules::size::Size;
use switchbox_rules::{
    calls::{count_raised_by, raised_by},
    duration,
    output::{MOST_BYTES, MOST_LINES, OutputBounds},
};

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

/// The `[limits]` of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// The guest's CPU time and its sleep for an event; waiting for devices does not count.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// The same for `describe` and for `start`, each with the instance that is made for it.
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
    /// Devices and topics that one event may reach without an operator's approval, by effects and by method calls. `None` for any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_targets_per_event: Option<NonZeroU32>,
    /// Devices and topics that the plugin has not reached before and may reach within a minute without an operator's approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_targets_per_minute: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(100),
            start_deadline: Duration::from_secs(5),
            memory: Size(32 * 1024 * 1024),
            output: OutputBounds::default().bytes,
            log_lines: OutputBounds::default().lines,
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

/// What a line under `[limits]` bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Deadline,
    StartDeadline,
    Memory,
    Output,
    LogLines,
    HostCalls,
    HostCallTime,
    EffectsPerEvent,
    /// `rate-per-target` of a device.
    RatePerDevice,
    /// `rate-per-target` of a topic.
    RatePerTopic,
    /// No event hits it alone: what is beyond the burst waits for the rate.
    BurstPerTarget,
    EffectsPerSecond,
    MaxTargetsPerEvent,
    MaxNewTargetsPerMinute,
}

impl Line {
    pub const ALL: [Self; 14] = [
        Self::Deadline,
        Self::StartDeadline,
        Self::Memory,
        Self::Output,
        Self::LogLines,
        Self::HostCalls,
        Self::HostCallTime,
        Self::EffectsPerEvent,
        Self::RatePerDevice,
        Self::RatePerTopic,
        Self::BurstPerTarget,
        Self::EffectsPerSecond,
        Self::MaxTargetsPerEvent,
        Self::MaxNewTargetsPerMinute,
    ];

    /// The limit that is hit.
    #[must_use]
    pub fn limit(self) -> LimitName {
        match self {
            Self::Deadline => names::DEADLINE,
            Self::StartDeadline => names::START_DEADLINE,
            Self::Memory => names::MEMORY,
            Self::Output => names::OUTPUT,
            Self::LogLines => names::LOG_LINES,
            Self::HostCalls => names::HOST_CALLS,
            Self::HostCallTime => names::HOST_CALL_TIME,
            Self::EffectsPerEvent => names::EFFECTS_PER_EVENT,
            Self::RatePerDevice | Self::RatePerTopic | Self::BurstPerTarget => names::RATE_PER_TARGET,
            Self::EffectsPerSecond => names::EFFECTS_PER_SECOND,
            Self::MaxTargetsPerEvent => names::MAX_TARGETS_PER_EVENT,
            Self::MaxNewTargetsPerMinute => names::MAX_NEW_TARGETS_PER_MINUTE,
        }
    }

    /// What the line begins with.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::BurstPerTarget => "burst-per-target",
            other => other.limit().as_str(),
        }
    }
}

impl Limits {
    /// The end of the text of a limit that was hit: the line of the settings file that gives twice as much. Empty where there is no more.
    #[must_use]
    pub fn raise(&self, line: Line) -> String {
        let time = |now: Duration, most| (now < most).then(|| format!("\"{}\"", duration::text(most.min(2 * now))));
        let size = |now: Size, most| (now.0 < most).then(|| format!("\"{}\"", Size(most.min(2 * now.0))));
        let rate = |now: Rate| now.doubled().map(|rate| format!("\"{rate}\""));
        let number = |now: Option<NonZeroU32>| Some(now?.get().checked_mul(2)?.to_string());
        let value = match line {
            Line::Deadline => time(self.deadline, MAX_GUEST_TIME),
            Line::StartDeadline => time(self.start_deadline, MAX_GUEST_TIME),
            Line::HostCallTime => time(self.host_call_time, MAX_HOST_CALL_TIME),
            Line::Memory => size(self.memory, MAX_MEMORY),
            Line::Output => size(self.output, MOST_BYTES),
            Line::LogLines => return count_raised_by(line.limit(), self.log_lines),
            Line::HostCalls => return count_raised_by(line.limit(), self.host_calls),
            Line::EffectsPerEvent => return count_raised_by(line.limit(), self.effects_per_event),
            // The line is for devices too, whose default rate is higher than twice that of a topic.
            Line::RatePerTopic if self.rate_per_target.is_none() => Some(format!("\"{RATE_PER_DEVICE}\"")),
            Line::RatePerTopic => rate(self.rate_per_topic()),
            Line::RatePerDevice => rate(self.rate_per_device()),
            Line::BurstPerTarget => number(self.burst_per_target),
            Line::EffectsPerSecond => number(Some(self.effects_per_second)),
            Line::MaxTargetsPerEvent => number(self.max_targets_per_event),
            Line::MaxNewTargetsPerMinute => number(self.max_new_targets_per_minute),
        };
        value.map(|value| raised_by(line.key(), value)).unwrap_or_default()
    }

    /// The value of each key under `[limits]` that applies, as text: the defaults, too, and no key that bounds nothing.
    #[must_use]
    pub fn in_force(&self) -> BTreeMap<String, String> {
        let text = |value| match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        // Limits can always be written as a table.
        let table = toml::Table::try_from(self).unwrap_or_default();
        let mut values: BTreeMap<_, _> = table.into_iter().map(|(key, value)| (key, text(value))).collect();
        let rate = || format!("{} for a device, {} for a topic", self.rate_per_device(), self.rate_per_topic());
        values.entry(Line::RatePerDevice.key().to_owned()).or_insert_with(rate);
        values
    }

    /// How much it may write for one event.
    #[must_use]
    pub fn output_bounds(&self) -> OutputBounds {
        OutputBounds { lines: self.log_lines, bytes: self.output }
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
        if self.output.0 > MOST_BYTES {
            problems.push(("output", format!("must be at most {}", Size(MOST_BYTES))));
        }
        for (key, value, most) in [
            ("log-lines", self.log_lines, MOST_LINES),
            ("host-calls", self.host_calls, COUNT_PER_EVENT_MAX),
            ("effects-per-event", self.effects_per_event, COUNT_PER_EVENT_MAX),
        ] {
            if value > most {
                problems.push((key, format!("must be at most {most}")));
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
    use switchbox_rules::{calls, output::OutputLines};

    /// With a value for each key, within its bounds.
    fn all_set() -> Limits {
        let text = "rate-per-target = \"10/m\"\nburst-per-target = 3\nmax-targets-per-event = 4\nmax-new-targets-per-minute = 5\n";
        toml::from_str(text).unwrap()
    }

    /// The keys and values of `[limits]`, as a settings file has them.
    fn table(limits: &Limits) -> toml::Table {
        toml::Table::try_from(limits).unwrap()
    }

    #[test]
    fn each_limit_of_a_settings_file_has_the_line_that_raises_it() {
        let (limits, keys) = (all_set(), table(&all_set()));
        for key in keys.keys() {
            let line = Line::ALL.into_iter().find(|line| line.key() == key);
            let line = line.unwrap_or_else(|| panic!("no line raises {key}"));
            let raised = limits.raise(line);
            let text = raised
                .strip_prefix("; ")
                .and_then(|raised| raised.strip_suffix(" under [limits] of its .toml raises it"));
            let text = text.unwrap_or_else(|| panic!("{key}: {raised:?}"));
            // What it says may stand there, and is another value.
            let other: Limits = toml::from_str(text).unwrap();
            assert_eq!(other.problems(), [], "{text}");
            assert_ne!(table(&other).get(key), keys.get(key), "{text}");
        }
        let keys_of_lines: std::collections::BTreeSet<_> = Line::ALL.into_iter().map(Line::key).collect();
        assert_eq!(keys_of_lines.len(), keys.len(), "a line for a key that is not there");
    }

    #[test]
    fn a_limit_says_which_line_raises_it() {
        let limits = Limits { memory: Size(MAX_MEMORY), start_deadline: Duration::from_secs(40), ..Limits::default() };
        let most = Limits { host_calls: COUNT_PER_EVENT_MAX, log_lines: COUNT_PER_EVENT_MAX, ..all_set() };
        for (limits, line, expect) in [
            (&limits, Line::Deadline, "deadline = \"200ms\""),
            (&limits, Line::StartDeadline, "start-deadline = \"1m\""),
            (&limits, Line::HostCallTime, "host-call-time = \"1m\""),
            (&limits, Line::Output, "output = \"128KiB\""),
            (&limits, Line::LogLines, "log-lines = 512"),
            (&limits, Line::RatePerDevice, "rate-per-target = \"400000/s\""),
            (&limits, Line::RatePerTopic, "rate-per-target = \"200000/s\""),
            (&limits, Line::EffectsPerSecond, "effects-per-second = 2000000"),
            (&most, Line::RatePerTopic, "rate-per-target = \"20/m\""),
            (&most, Line::MaxTargetsPerEvent, "max-targets-per-event = 8"),
            (&limits, Line::Memory, ""),
            (&limits, Line::MaxTargetsPerEvent, ""),
            (&most, Line::HostCalls, ""),
            (&most, Line::LogLines, ""),
        ] {
            let end = if expect.is_empty() {
                String::new()
            } else {
                format!("; {expect} under [limits] of its .toml raises it")
            };
            assert_eq!(limits.raise(line), end, "{line:?}");
        }
        // The host and the fake host of native tests say the same.
        let last = |bounds: OutputBounds| {
            let mut lines = OutputLines::default();
            (0..300).for_each(|_| lines.push(bounds, "", "", &"x".repeat(1_000)));
            lines.take().0.pop().unwrap().1
        };
        let few = OutputBounds { lines: 8, ..OutputBounds::default() };
        let limits_of_few = Limits { log_lines: few.lines, ..Limits::default() };
        assert!(last(few).ends_with(&limits_of_few.raise(Line::LogLines)), "{}", last(few));
        let bounds = limits.output_bounds();
        assert!(last(bounds).ends_with(&limits.raise(Line::Output)), "{}", last(bounds));
        let none = OutputBounds { lines: MOST_LINES, bytes: Size(MOST_BYTES) };
        let mut lines = OutputLines::default();
        (0..=MOST_LINES).for_each(|_| lines.push(none, "", "", ""));
        let (lines, _) = lines.take();
        assert!(lines.last().unwrap().1.ends_with("the rest is dropped"), "{:?}", lines.last());
        let refused = calls::too_many_calls(limits.host_calls).to_string();
        assert!(refused.ends_with(&limits.raise(Line::HostCalls)), "{refused}");
        let refused = calls::too_many_effects(limits.effects_per_event).to_string();
        assert!(refused.ends_with(&limits.raise(Line::EffectsPerEvent)), "{refused}");
    }

    #[test]
    fn the_limits_in_force_are_those_of_the_file_and_the_defaults() {
        let limits: Limits = toml::from_str("deadline = \"250ms\"").unwrap();
        let values = limits.in_force();
        assert_eq!(values.get("deadline").unwrap(), "250ms");
        assert_eq!(values.get("memory").unwrap(), "32MiB");
        assert_eq!(values.get("host-calls").unwrap(), &HOST_CALLS.to_string());
        assert_eq!(values.get("rate-per-target").unwrap(), "200000/s for a device, 10000/s for a topic");
        assert!(!values.contains_key("max-targets-per-event"), "{values:?}");
        assert_eq!(all_set().in_force().get("rate-per-target").unwrap(), "10/m");
    }

    #[test]
    fn the_defaults_are_in_order() {
        assert_eq!(Limits::default().problems(), []);
        let limits = Limits { memory: Size(1 << 40), deadline: Duration::ZERO, ..Limits::default() };
        assert_eq!(limits.problems().len(), 2);
    }
}
