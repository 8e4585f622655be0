//! How many devices and topics a plugin may reach before an operator has to agree: in one event, and new ones within a minute. Method
//! calls happen at once, so they cannot wait for an operator: past the limit they are refused. Pure: the caller gives the time.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use hashbrown::HashSet;

use super::loop_guard::{distinct_targets, target_hash};
use switchbox_model::{DeviceNum, Effect, Target};
use switchbox_plugin_runtime::{Limits, limits::Line};

/// Targets that are remembered for one plugin. Further targets always count as new.
const TARGETS_MAX: usize = 100_000;
/// How long a new target counts, seconds; the second in which it was reached is not among them.
const COUNTED_SECONDS: u64 = 60;

/// The targets of a plugin since it was started.
#[derive(Debug, Default)]
pub(super) struct BlastRadius {
    /// The hashes of the targets that were reached.
    known: HashSet<u64>,
    /// Seconds in which new targets were reached, and how many; the oldest first.
    new_by_second: VecDeque<(u64, u32)>,
}

/// The limit that an event's effects exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded {
    /// The setting under `[limits]` that is exceeded.
    pub(super) line: Line,
    /// How many targets there would be.
    pub(super) targets: u32,
    /// Up to so many targets need no approval.
    pub(super) most: u32,
    /// How many of the targets are devices whose methods the event has called.
    pub(super) called: u32,
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

impl BlastRadius {
    /// Records the targets of an event, unless a limit is exceeded. `called`: the devices whose methods it has called. `was_reached` says
    /// whether the plugin reached a device before it was started.
    pub(super) fn admit(
        &mut self,
        effects: &[Effect],
        called: &[DeviceNum],
        limits: &Limits,
        now: Duration,
        was_reached: impl Fn(DeviceNum) -> bool,
    ) -> Option<Exceeded> {
        // Without effects nothing can wait for an approval: method calls are made already.
        if effects.iter().all(|effect| effect.target().is_none()) {
            return None;
        }
        let called_alone = distinct_targets(&[], called);
        let all_targets = distinct_targets(effects, called);
        if let Some(most) = limits.max_targets_per_event.map(u32::from).filter(|most| count(&all_targets) > *most) {
            let (line, called) = (Line::MaxTargetsPerEvent, count(&called_alone));
            return Some(Exceeded { line, targets: count(&all_targets), most, called });
        }
        let (targets, most) = (distinct_targets(effects, &[]), limits.max_new_targets_per_minute);
        let refused = self.admit_new(&targets, most, now, was_reached)?;
        let line = Line::MaxNewTargetsPerMinute;
        Some(Exceeded { line, targets: refused.new, most: refused.most, called: 0 })
    }

    /// Records the device of a method call, unless it is one new target too many.
    pub(super) fn admit_call(
        &mut self,
        device: DeviceNum,
        most: NonZeroU32,
        now: Duration,
        was_reached: impl Fn(DeviceNum) -> bool,
    ) -> Option<TooManyNew> {
        self.admit_new(&[(Some(device), target_hash(Target::Device(device)))], Some(most), now, was_reached)
    }

    /// Records the targets, unless more than `most` of them would be new within a minute. `targets`: each with its hash, and its number if it is a
    /// device.
    fn admit_new(
        &mut self,
        targets: &[(Option<DeviceNum>, u64)],
        most: Option<NonZeroU32>,
        now: Duration,
        was_reached: impl Fn(DeviceNum) -> bool,
    ) -> Option<TooManyNew> {
        let is_new = |(device, hash): &&(Option<DeviceNum>, u64)| {
            !self.known.contains(hash) && !device.is_some_and(&was_reached)
        };
        let new_count = u32::try_from(targets.iter().filter(is_new).count()).unwrap_or(u32::MAX);
        if new_count > 0 {
            let second = now.as_secs();
            let new_in_minute = new_count.saturating_add(self.new_within_a_minute(second));
            if let Some(most) = most.map(u32::from).filter(|most| new_in_minute > *most) {
                return Some(TooManyNew { new: new_in_minute, most });
            }
            match self.new_by_second.back_mut().filter(|(at, _)| *at == second) {
                Some((_, count)) => *count = count.saturating_add(new_count),
                None => self.new_by_second.push_back((second, new_count)),
            }
        }
        targets.iter().for_each(|(_, hash)| self.record(*hash));
        None
    }

    fn new_within_a_minute(&mut self, second: u64) -> u32 {
        while self.new_by_second.front().is_some_and(|(at, _)| second.saturating_sub(*at) > COUNTED_SECONDS) {
            self.new_by_second.pop_front();
        }
        self.new_by_second.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Records the targets of effects that an operator approved.
    pub(super) fn record_approved(&mut self, effects: &[Effect]) {
        distinct_targets(effects, &[]).into_iter().for_each(|(_, hash)| self.record(hash));
    }

    fn record(&mut self, hash: u64) {
        if self.known.len() < TARGETS_MAX {
            self.known.insert(hash);
        }
    }
}

/// There would be so many new targets within a minute, and up to `most` need no approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyNew {
    pub(super) new: u32,
    pub(super) most: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(devices: std::ops::Range<u64>) -> Vec<Effect> {
        let effect = |device| Effect::Config { device: DeviceNum(device), payload: "x".into(), expected: None };
        devices.map(effect).collect()
    }

    const fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn too_many_targets_in_an_event_or_new_ones_in_a_minute_are_seen() {
        let mut radius = BlastRadius::default();
        let limits = Limits {
            max_targets_per_event: NonZeroU32::new(3),
            max_new_targets_per_minute: NonZeroU32::new(5),
            ..Limits::default()
        };
        let mut admit = |devices, second| {
            let exceeded = radius.admit(&configs(devices), &[], &limits, at(second), |device| device.0 >= 100);
            exceeded.map(|exceeded| exceeded.line.key())
        };
        assert_eq!(admit(0..4, 30), Some("max-targets-per-event"));
        assert_eq!([admit(0..3, 30), admit(0..3, 30), admit(3..5, 59)], [None; 3]);
        // A minute has no edge at which twice as many pass.
        assert_eq!([admit(5..6, 59), admit(5..6, 61), admit(5..6, 90)], [Some("max-new-targets-per-minute"); 3]);
        assert_eq!(admit(100..103, 60), None, "they were reached before");
        assert_eq!([admit(0..3, 91), admit(5..8, 91)], [None; 2], "the first three are a minute ago");
        assert_eq!(admit(8..9, 119), Some("max-new-targets-per-minute"));
        assert_eq!(admit(8..10, 120), None);
        radius.record_approved(&configs(20..30));
        assert_eq!(radius.admit(&configs(20..23), &[], &limits, at(120), |_| false), None);
        let any = Limits::default();
        assert_eq!(radius.admit(&configs(0..99), &[], &any, at(120), |_| false), None, "there is no limit");
    }

    #[test]
    fn called_devices_are_targets_as_well() {
        let mut radius = BlastRadius::default();
        let limits = Limits { max_targets_per_event: NonZeroU32::new(3), ..Limits::default() };
        let mut admit = |effects, called: &[u64]| {
            let called: Vec<_> = called.iter().copied().map(DeviceNum).collect();
            radius.admit(&configs(effects), &called, &limits, at(0), |_| false)
        };
        assert_eq!(admit(0..2, &[0, 2, 2]), None);
        let exceeded = admit(0..2, &[1, 2, 3]).unwrap();
        assert_eq!((exceeded.targets, exceeded.called, exceeded.most), (4, 3, 3));
        assert_eq!(admit(0..0, &[1, 2, 3, 4]), None, "nothing is left that could wait");

        let (mut radius, two) = (BlastRadius::default(), NonZeroU32::new(2).unwrap());
        let mut call = |device| radius.admit_call(DeviceNum(device), two, at(0), |device| device.0 >= 100);
        assert_eq!([call(10), call(100), call(11), call(10)], [None; 4]);
        assert_eq!(call(12), Some(TooManyNew { new: 3, most: 2 }));
        let limits = Limits { max_new_targets_per_minute: Some(two), ..Limits::default() };
        let of_effects = radius.admit(&configs(13..14), &[], &limits, at(1), |_| false).unwrap();
        assert_eq!(of_effects.line, Line::MaxNewTargetsPerMinute);
        assert_eq!(radius.admit(&configs(10..12), &[], &limits, at(1), |_| false), None, "they were called");
    }
}
