//! How many devices and topics a plugin may reach before an operator has to agree: in one event, and new ones in a minute. Pure: the
//! caller gives the time.

use hashbrown::HashSet;

use super::loop_guard::distinct_targets;
use switchbox_model::{DeviceNum, Effect};
use switchbox_plugin_runtime::{Limits, limits::Line};

/// Targets that are remembered for one plugin. Further targets always count as new.
const TARGETS_MAX: usize = 100_000;

/// The targets of a plugin since it was started.
#[derive(Debug, Default)]
pub(super) struct BlastRadius {
    known: HashSet<u64>,
    minute: u64,
    new_in_minute: u32,
}

/// The limit that an event's effects exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) line: Line,
    pub(super) targets: u32,
    pub(super) most: u32,
}

impl BlastRadius {
    /// Records the targets of an event, unless a limit is exceeded. `was_reached` says whether the plugin reached a device before
    /// it was started.
    pub(super) fn admit(
        &mut self,
        effects: &[Effect],
        limits: &Limits,
        minute: u64,
        was_reached: impl Fn(DeviceNum) -> bool,
    ) -> Option<Exceeded> {
        let (per_event, per_minute) = (limits.max_targets_per_event, limits.max_new_targets_per_minute);
        let targets: Vec<_> = distinct_targets(effects).collect();
        let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        if let Some(most) = per_event.map(Into::into).filter(|most| count > *most) {
            return Some(Exceeded { line: Line::MaxTargetsPerEvent, targets: count, most });
        }
        if self.minute != minute {
            (self.minute, self.new_in_minute) = (minute, 0);
        }
        let is_new = |(device, hash): &&(Option<DeviceNum>, u64)| {
            !self.known.contains(hash) && !device.is_some_and(&was_reached)
        };
        let new = u32::try_from(targets.iter().filter(is_new).count()).unwrap_or(u32::MAX);
        let all_new = self.new_in_minute.saturating_add(new);
        if let Some(most) = per_minute.map(Into::into).filter(|most| new > 0 && all_new > *most) {
            return Some(Exceeded { line: Line::MaxNewTargetsPerMinute, targets: all_new, most });
        }
        self.new_in_minute = all_new;
        targets.iter().for_each(|(_, hash)| self.record(*hash));
        None
    }

    /// Records the targets of effects that an operator approved.
    pub(super) fn record_approved(&mut self, effects: &[Effect]) {
        distinct_targets(effects).for_each(|(_, hash)| self.record(hash));
    }

    fn record(&mut self, hash: u64) {
        if self.known.len() < TARGETS_MAX {
            self.known.insert(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn configs(devices: std::ops::Range<u64>) -> Vec<Effect> {
        let effect = |device| Effect::Config { device: DeviceNum(device), payload: "x".into(), expected: None };
        devices.map(effect).collect()
    }

    #[test]
    fn too_many_targets_in_an_event_or_new_ones_in_a_minute_are_seen() {
        let mut radius = BlastRadius::default();
        let limits = Limits {
            max_targets_per_event: NonZeroU32::new(3),
            max_new_targets_per_minute: NonZeroU32::new(5),
            ..Limits::default()
        };
        let mut admit = |devices, minute| {
            let exceeded = radius.admit(&configs(devices), &limits, minute, |device| device.0 >= 100);
            exceeded.map(|exceeded| exceeded.line.key())
        };
        assert_eq!(admit(0..4, 0), Some("max-targets-per-event"));
        assert_eq!([admit(0..3, 0), admit(0..3, 0), admit(3..5, 0)], [None; 3]);
        assert_eq!(admit(5..6, 0), Some("max-new-targets-per-minute"));
        assert_eq!(admit(100..103, 0), None, "they were reached before");
        assert_eq!([admit(0..3, 0), admit(5..8, 1)], [None; 2], "the next minute");
        radius.record_approved(&configs(20..30));
        assert_eq!(radius.admit(&configs(20..23), &limits, 1, |_| false), None);
        assert_eq!(radius.admit(&configs(0..99), &Limits::default(), 1, |_| false), None, "there is no limit");
    }
}
