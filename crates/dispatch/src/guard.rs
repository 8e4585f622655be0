//! The loop guard: how fast one plugin's effects may come, on each device or topic and together. Token buckets; pure, the
//! time is given.

use std::time::Duration;

use hashbrown::HashMap;

use switchbox_model::{DeviceNum, Effect, limits::LimitName};
use switchbox_plugin_runtime::{Limits, Rate, limits::names};

/// The longest that an event's effects are held back; what would have to wait longer is refused.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// Targets with a bucket of their own; those past it share one.
const TARGETS_MAX: usize = 100_000;
/// Idle buckets are looked for when there are more than this.
const TARGETS_MIN: usize = 1_024;
/// A target with so many effects in one second is told of: it may be part of a loop.
const BUSY: u32 = 5;
const SECOND_NS: u64 = 1_000_000_000;

/// What an effect acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Target<'a> {
    Device(DeviceNum),
    Topic(&'a str),
}

impl<'a> Target<'a> {
    fn of(effect: &'a Effect) -> Option<Self> {
        match effect {
            Effect::Config { device, .. }
            | Effect::ConfigForced { device, .. }
            | Effect::PatchDesired { device, .. }
            | Effect::Command { device, .. } => Some(Self::Device(*device)),
            Effect::Publish { topic, .. } => Some(Self::Topic(topic)),
            Effect::Kv(_) | Effect::TimerSet(_) | Effect::TimerCancel { .. } => None,
        }
    }
}

/// A rate with its burst, in nanoseconds. None = unlimited.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two tokens.
    interval: u64,
    /// A full bucket.
    capacity: u64,
}

impl Pace {
    fn new(rate: Rate, burst: Option<u32>) -> Option<Self> {
        let Rate::Of { count, per } = rate else { return None };
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let interval = (per / u64::from(count)).max(1);
        let capacity = burst.map_or(SECOND_NS, |burst| interval.saturating_mul(burst.into())).max(interval);
        Some(Self { interval, capacity })
    }
}

/// A plugin's rates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paces {
    device: Option<Pace>,
    topic: Option<Pace>,
    all: Option<Pace>,
}

impl Paces {
    pub(super) fn new(limits: &Limits) -> Self {
        let burst = limits.burst_per_target.map(Into::into);
        let all = Rate::per_second(limits.effects_per_second.into());
        Self {
            device: Pace::new(limits.rate_per_device(), burst),
            topic: Pace::new(limits.rate_per_topic(), burst),
            all: Pace::new(all, None),
        }
    }
}

/// A token bucket as the moment at which it is full again (the generic cell rate algorithm): one number, and nothing to do
/// while it is idle.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// How long so many tokens have to be waited for.
    fn wait(self, now: u64, tokens: u32, pace: Pace) -> u64 {
        self.after(now, tokens, pace).full_at.saturating_sub(now.saturating_add(pace.capacity))
    }

    fn after(self, now: u64, tokens: u32, pace: Pace) -> Self {
        let taken = pace.interval.saturating_mul(tokens.into());
        Self { full_at: self.full_at.max(now).saturating_add(taken) }
    }
}

#[derive(Debug, Default)]
struct Entry {
    bucket: Bucket,
    /// The second that `effects` counts.
    second: u64,
    effects: u32,
}

/// What becomes of an event's effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Now,
    Later { wait: Duration, slow: Slow },
    Never { wait: Duration, slow: Slow },
}

/// What is to blame: the limit's name and the place of the effect among the event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slow {
    pub(super) limit: LimitName,
    pub(super) effect: usize,
}

/// One plugin's buckets. Memory is bounded: an idle bucket is the same as none.
#[derive(Debug, Default)]
pub(super) struct Guard {
    all: Bucket,
    devices: HashMap<DeviceNum, Entry>,
    topics: HashMap<Box<str>, Entry>,
    /// For targets past the most.
    others: Entry,
    /// How many there may be before idle ones are looked for.
    crowded: usize,
}

impl Guard {
    /// Takes the tokens for all the effects, or for none. `now`: nanoseconds of a clock that never goes back. `busy` is told
    /// the place of an effect whose target has had [`BUSY`] effects within a second, once a second.
    pub(super) fn admit(
        &mut self,
        effects: &[Effect],
        paces: &Paces,
        now: u64,
        busy: &mut impl FnMut(usize),
    ) -> Admission {
        let (wait, slow) = self.longest_wait(effects, paces, now);
        let wait = Duration::from_nanos(wait);
        if wait > LONGEST_DELAY {
            return Admission::Never { wait, slow };
        }
        self.take(effects, paces, now, busy);
        if wait.is_zero() { Admission::Now } else { Admission::Later { wait, slow } }
    }

    fn longest_wait(&self, effects: &[Effect], paces: &Paces, now: u64) -> (u64, Slow) {
        let count = u32::try_from(effects.len()).unwrap_or(u32::MAX);
        let wait = paces.all.map_or(0, |pace| self.all.wait(now, count, pace));
        let mut longest = (wait, Slow { limit: names::EFFECTS_PER_SECOND, effect: 0 });
        for (place, target, tokens) in targets(effects) {
            let Some(pace) = paces.of(target) else { continue };
            let bucket = self.entry(target).map_or(Bucket::default(), |entry| entry.bucket);
            let wait = bucket.wait(now, tokens, pace);
            if wait > longest.0 {
                longest = (wait, Slow { limit: names::RATE_PER_TARGET, effect: place });
            }
        }
        longest
    }

    fn take(&mut self, effects: &[Effect], paces: &Paces, now: u64, busy: &mut impl FnMut(usize)) {
        if let Some(pace) = paces.all {
            self.all = self.all.after(now, u32::try_from(effects.len()).unwrap_or(u32::MAX), pace);
        }
        for (place, target, tokens) in targets(effects) {
            let pace = paces.of(target);
            let entry = self.entry_mut(target, now);
            if let Some(pace) = pace {
                entry.bucket = entry.bucket.after(now, tokens, pace);
            }
            let second = now / SECOND_NS;
            if entry.second != second {
                (entry.second, entry.effects) = (second, 0);
            }
            let before = entry.effects;
            entry.effects = before.saturating_add(tokens);
            if before < BUSY && entry.effects >= BUSY {
                busy(place);
            }
        }
    }

    fn entry(&self, target: Target<'_>) -> Option<&Entry> {
        let found = match target {
            Target::Device(device) => self.devices.get(&device),
            Target::Topic(topic) => self.topics.get(topic),
        };
        found.or_else(|| (self.len() >= TARGETS_MAX).then_some(&self.others))
    }

    fn entry_mut(&mut self, target: Target<'_>, now: u64) -> &mut Entry {
        let known = match target {
            Target::Device(device) => self.devices.contains_key(&device),
            Target::Topic(topic) => self.topics.contains_key(topic),
        };
        if !known {
            self.forget_idle(now);
            if self.len() >= TARGETS_MAX {
                return &mut self.others;
            }
        }
        match target {
            Target::Device(device) => self.devices.entry(device).or_default(),
            Target::Topic(topic) => self.topics.entry_ref(topic).or_default(),
        }
    }

    fn len(&self) -> usize {
        self.devices.len() + self.topics.len()
    }

    fn forget_idle(&mut self, now: u64) {
        if self.len() < self.crowded.max(TARGETS_MIN) {
            return;
        }
        self.devices.retain(|_, entry| entry.bucket.full_at > now);
        self.topics.retain(|_, entry| entry.bucket.full_at > now);
        self.crowded = (self.len() * 2).min(TARGETS_MAX);
    }
}

impl Paces {
    fn of(&self, target: Target<'_>) -> Option<Pace> {
        match target {
            Target::Device(_) => self.device,
            Target::Topic(_) => self.topic,
        }
    }
}

/// Each target once, with the place of its first effect and how many there are. Effects of an event are few.
fn targets(effects: &[Effect]) -> impl Iterator<Item = (usize, Target<'_>, u32)> {
    effects.iter().enumerate().filter_map(|(place, effect)| {
        let target = Target::of(effect)?;
        let same = |effect: &&Effect| Target::of(effect) == Some(target);
        if effects.iter().take(place).any(|effect| same(&effect)) {
            return None;
        }
        let count = 1 + effects.iter().skip(place + 1).filter(same).count();
        Some((place, target, u32::try_from(count).unwrap_or(u32::MAX)))
    })
}

#[cfg(test)]
mod tests;
