//! The `[guard]` of a plugin: in which window a new version is compared with the one before it, and what rolls it back. Only values:
//! the plugins' runner watches them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use switchbox_rules::duration;

/// Most events of a window.
const MAX_EVENTS: u64 = 1_000_000;
/// Longest window.
const MAX_TIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The settings of a plugin's guard. Its window ends after a number of events and a time, when both are reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GuardSettings {
    /// Minimum number of events of the window.
    pub events: u64,
    /// Minimum length of the window.
    #[serde(with = "duration")]
    pub time: Duration,
    /// This many traps and exceeded limits roll the version back. With 0 they do not.
    pub traps: u64,
    /// Maximum number of events that it rejected or asked to be retried.
    pub errors: Option<u64>,
    /// Maximum number of dead letters.
    pub dead_letters: Option<u64>,
    /// Maximum guest time of an event, as a multiple of the previous version's.
    pub guest_time: Option<f64>,
    /// Maximum number of effects of an event, as a multiple of the previous version's.
    pub effects_per_event: Option<f64>,
    /// Maximum number of effects on one target in an event, as a multiple of the previous version's.
    pub effects_per_target: Option<f64>,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            events: 10,
            time: Duration::ZERO,
            traps: 1,
            errors: None,
            dead_letters: None,
            guest_time: None,
            effects_per_event: None,
            effects_per_target: None,
        }
    }
}

impl GuardSettings {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The values out of range, each with its key and a text. Empty if all are valid.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.events > MAX_EVENTS {
            problems.push(("events", format!("must be at most {MAX_EVENTS}")));
        }
        if self.time > MAX_TIME {
            problems.push(("time", format!("must be at most {}", duration::text(MAX_TIME))));
        }
        for (key, count) in [("errors", self.errors), ("dead-letters", self.dead_letters)] {
            if count == Some(0) {
                problems.push((key, "must be at least 1; leave it out to allow any number".into()));
            }
        }
        for (key, ratio) in [
            ("guest-time", self.guest_time),
            ("effects-per-event", self.effects_per_event),
            ("effects-per-target", self.effects_per_target),
        ] {
            if ratio.is_some_and(|ratio| !ratio.is_finite() || ratio <= 1.0) {
                problems.push((key, "must be more than 1: so many times what the version before had".into()));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_order_and_wrong_values_are_named() {
        assert_eq!(GuardSettings::default().problems(), []);
        let wrong = GuardSettings { guest_time: Some(0.5), errors: Some(0), ..GuardSettings::default() };
        assert_eq!(wrong.problems().iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["errors", "guest-time"]);
    }
}
