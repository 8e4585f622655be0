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
mod tests {
    use bytes::Bytes;

    use super::*;
    use switchbox_model::{KvWrite, QoS};

    const MS: u64 = 1_000_000;

    fn config(device: u64) -> Effect {
        Effect::Config { device: DeviceNum(device), payload: Bytes::new(), expected: None }
    }

    fn publish(topic: &str) -> Effect {
        Effect::Publish { topic: topic.into(), payload: Bytes::new(), qos: QoS::AtMostOnce, retain: false }
    }

    fn paces(rate: &str, burst: Option<u32>) -> Paces {
        Paces::new(&Limits {
            rate_per_target: Some(rate.parse().unwrap()),
            burst_per_target: burst.map(|burst| burst.try_into().unwrap()),
            ..Limits::default()
        })
    }

    /// How long each of these effects has to wait, ms; none = refused.
    fn waits(paces: &Paces, effects: &[(u64, Effect)]) -> Vec<Option<u64>> {
        let mut guard = Guard::default();
        let mut admit =
            |at: u64, effect: &Effect| guard.admit(std::slice::from_ref(effect), paces, at * MS, &mut |_| ());
        let wait = |admission| match admission {
            Admission::Now => Some(0),
            Admission::Later { wait, .. } => Some(u64::try_from(wait.as_millis()).unwrap()),
            Admission::Never { .. } => None,
        };
        effects.iter().map(|(at, effect)| wait(admit(*at, effect))).collect()
    }

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_the_rate() {
        let at = |ms: &[u64]| ms.iter().map(|ms| (*ms, config(1))).collect::<Vec<_>>();
        for (rate, burst, times, expect) in [
            ("10/s", Some(1), &[0, 0, 0, 1000][..], &[0, 100, 200, 0][..]),
            ("10/s", Some(3), &[0, 0, 0, 0, 0, 5000], &[0, 0, 0, 100, 200, 0]),
            ("2/s", None, &[0, 0, 0, 250], &[0, 0, 500, 750]),
            ("60/m", None, &[0, 0, 0], &[0, 1000, 2000]),
            ("1/s", Some(1), &[0, 1000, 2000, 2500], &[0, 0, 0, 500]),
        ] {
            let expect: Vec<_> = expect.iter().copied().map(Some).collect();
            assert_eq!(waits(&paces(rate, burst), &at(times)), expect, "{rate} {burst:?}");
        }
        let many = at(&[0; 1000]);
        assert!(waits(&paces("unlimited", None), &many).iter().all(|wait| *wait == Some(0)));
    }

    #[test]
    fn what_would_wait_too_long_is_refused_and_takes_no_tokens() {
        let effects: Vec<_> = [0, 0, 0, 0, 5_000].map(|at| (at, config(1))).into();
        assert_eq!(waits(&paces("10/m", None), &effects), [Some(0), Some(6_000), None, None, Some(7_000)]);
    }

    #[test]
    fn each_device_and_topic_has_a_bucket_of_its_own() {
        let effects = [config(1), config(2), publish("a"), publish("b"), config(1), publish("a")].map(|e| (0, e));
        let expect = [Some(0), Some(0), Some(0), Some(0), Some(1_000), Some(1_000)];
        assert_eq!(waits(&paces("1/s", Some(1)), &effects), expect);
    }

    #[test]
    fn an_events_effects_take_their_tokens_together_or_not_at_all() {
        let (mut guard, paces) = (Guard::default(), paces("1/s", Some(2)));
        let mut admit = |effects: &[Effect]| guard.admit(effects, &paces, 0, &mut |_| ());
        let many: Vec<_> = (0..20).map(|_| config(2)).collect();
        let refused = [&[config(1)], &many[..]].concat();
        let slow = Slow { limit: names::RATE_PER_TARGET, effect: 1 };
        assert_eq!(admit(&refused), Admission::Never { wait: Duration::from_secs(18), slow });
        assert_eq!(admit(&[config(1), config(1)]), Admission::Now);
        assert_eq!(admit(&[config(2), config(2)]), Admission::Now);
        let slow = Slow { limit: names::RATE_PER_TARGET, effect: 0 };
        assert_eq!(admit(&[config(1)]), Admission::Later { wait: Duration::from_secs(1), slow });
        let write = KvWrite { key: "k".into(), value: None, revision: 0 };
        assert_eq!(admit(&[Effect::Kv(write)]), Admission::Now, "the plugin's own state has no target");
    }

    #[test]
    fn all_targets_together_have_a_bucket_too() {
        let limits = Limits { effects_per_second: 10.try_into().unwrap(), ..Limits::default() };
        let mut guard = Guard::default();
        let effects: Vec<_> = (0..15).map(config).collect();
        let slow = Slow { limit: names::EFFECTS_PER_SECOND, effect: 0 };
        let admission = guard.admit(&effects, &Paces::new(&limits), 0, &mut |_| ());
        assert_eq!(admission, Admission::Later { wait: Duration::from_millis(500), slow });
    }

    #[test]
    fn idle_buckets_are_forgotten_and_busy_ones_kept() {
        let (mut guard, paces) = (Guard::default(), paces("1/s", Some(1)));
        for n in 0..10_000 {
            guard.admit(&[config(n)], &paces, n * 10 * MS, &mut |_| ());
        }
        assert!(guard.len() <= 2 * TARGETS_MIN, "{}", guard.len());
        let admission = guard.admit(&[config(9_999)], &paces, 100_000 * MS, &mut |_| ());
        assert!(matches!(admission, Admission::Later { .. }), "{admission:?}");
    }

    #[test]
    fn a_busy_target_is_told_of_once_a_second() {
        let (mut guard, paces) = (Guard::default(), paces("unlimited", None));
        let mut told = Vec::new();
        for n in 0..100 {
            guard.admit(&[config(1)], &paces, n * 50 * MS, &mut |_| told.push(n));
        }
        assert_eq!(told, [4, 24, 44, 64, 84]);
    }
}
