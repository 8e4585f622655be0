//! The loop guard: limits the rate of one plugin's effects, per device, per topic and in total, by token buckets. Pure: the
//! caller gives the time.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use hashbrown::{HashMap, HashSet};

use switchbox_model::{DeviceNum, Effect, Target, limits::LimitName};
use switchbox_plugin_runtime::{Called, Limits, Rate, limits::names};
use switchbox_rules::token_bucket::{TokenBucket, TokenRate};

/// The longest time that an event's effects are held back. Effects that would have to wait longer are refused.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// Targets with a separate bucket. Further targets share one.
const TARGETS_MAX: usize = 100_000;
/// Idle buckets are removed only when there are more than this.
const TARGETS_MIN: usize = 1_024;
/// A target with so many effects in one second is logged: it may be part of a loop.
const BUSY_EFFECTS: u32 = 5;
const SECOND_NS: u64 = 1_000_000_000;

/// Returns `None` if the rate is not limited. `burst`: how many effects may come at once; without it, as many as in one second.
fn token_rate(rate: Rate, burst: Option<u32>) -> Option<TokenRate> {
    let Rate::Of { count, per } = rate else { return None };
    let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
    let interval = (per / u64::from(count)).max(1);
    Some(TokenRate::new(interval, burst.map_or(SECOND_NS, |burst| interval.saturating_mul(burst.into()))))
}

/// The rates that a plugin's settings allow. `None`: not limited.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenRates {
    /// For each device.
    device: Option<TokenRate>,
    /// For each topic.
    topic: Option<TokenRate>,
    /// For all effects of the plugin together.
    plugin: Option<TokenRate>,
}

impl TokenRates {
    pub(super) fn new(limits: &Limits) -> Self {
        let burst = limits.burst_per_target.map(Into::into);
        let plugin_rate = Rate::per_second(limits.effects_per_second.into());
        Self {
            device: token_rate(limits.rate_per_device(), burst),
            topic: token_rate(limits.rate_per_topic(), burst),
            plugin: token_rate(plugin_rate, None),
        }
    }
}

#[derive(Debug, Default)]
struct TargetState {
    bucket: TokenBucket,
    /// The second that `effects` counts.
    second: u64,
    effects: u32,
}

/// Whether an event's effects are committed now, after a delay, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Now,
    Later { wait: Duration, hit: LimitHit },
    Never { wait: Duration, hit: LimitHit },
}

/// The limit that delays or refuses the effects, and the index of the effect that reached it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LimitHit {
    pub(super) limit: LimitName,
    pub(super) effect: usize,
}

/// One plugin's buckets. Memory is bounded: an idle bucket is the same as none.
#[derive(Debug, Default)]
pub(super) struct LoopGuard {
    /// For all effects of the plugin together.
    plugin: TokenBucket,
    devices: HashMap<DeviceNum, TargetState>,
    topics: HashMap<Box<str>, TargetState>,
    /// Shared by the targets past [`TARGETS_MAX`].
    other_targets: TargetState,
    /// Idle buckets are removed when there are this many.
    prune_at: usize,
}

impl LoopGuard {
    /// Takes the tokens for all the effects, or for none. `now`: nanoseconds of a clock that never goes back. `on_busy` gets
    /// the index of an effect whose target has had [`BUSY_EFFECTS`] effects within a second, once a second.
    pub(super) fn admit(
        &mut self,
        effects: &[Effect],
        token_rates: &TokenRates,
        now: u64,
        on_busy: &mut impl FnMut(usize),
    ) -> Admission {
        let (wait, hit) = self.longest_wait(effects, token_rates, now);
        let wait = Duration::from_nanos(wait);
        if wait > LONGEST_DELAY {
            return Admission::Never { wait, hit };
        }
        self.take(effects, token_rates, now, on_busy);
        if wait.is_zero() { Admission::Now } else { Admission::Later { wait, hit } }
    }

    fn longest_wait(&self, effects: &[Effect], token_rates: &TokenRates, now: u64) -> (u64, LimitHit) {
        let count = u32::try_from(effects.len()).unwrap_or(u32::MAX);
        let wait = token_rates.plugin.map_or(0, |token_rate| self.plugin.wait(now, count, token_rate));
        let mut longest = (wait, LimitHit { limit: names::EFFECTS_PER_SECOND, effect: 0 });
        for (index, target, tokens) in targets(effects) {
            let Some(token_rate) = token_rates.of(target) else { continue };
            let bucket = self.state(target).map_or(TokenBucket::default(), |state| state.bucket);
            let wait = bucket.wait(now, tokens, token_rate);
            if wait > longest.0 {
                longest = (wait, LimitHit { limit: names::RATE_PER_TARGET, effect: index });
            }
        }
        longest
    }

    fn take(&mut self, effects: &[Effect], token_rates: &TokenRates, now: u64, on_busy: &mut impl FnMut(usize)) {
        if let Some(token_rate) = token_rates.plugin {
            self.plugin = self.plugin.after(now, u32::try_from(effects.len()).unwrap_or(u32::MAX), token_rate);
        }
        for (index, target, tokens) in targets(effects) {
            let token_rate = token_rates.of(target);
            let state = self.state_mut(target, now);
            if let Some(token_rate) = token_rate {
                state.bucket = state.bucket.after(now, tokens, token_rate);
            }
            let second = now / SECOND_NS;
            if state.second != second {
                (state.second, state.effects) = (second, 0);
            }
            let effects_before = state.effects;
            state.effects = effects_before.saturating_add(tokens);
            if effects_before < BUSY_EFFECTS && state.effects >= BUSY_EFFECTS {
                on_busy(index);
            }
        }
    }

    fn state(&self, target: Target<'_>) -> Option<&TargetState> {
        let state = match target {
            Target::Device(device) => self.devices.get(&device),
            Target::Topic(topic) => self.topics.get(topic),
        };
        state.or_else(|| (self.len() >= TARGETS_MAX).then_some(&self.other_targets))
    }

    fn state_mut(&mut self, target: Target<'_>, now: u64) -> &mut TargetState {
        let is_known = match target {
            Target::Device(device) => self.devices.contains_key(&device),
            Target::Topic(topic) => self.topics.contains_key(topic),
        };
        if !is_known {
            self.prune_idle(now);
            if self.len() >= TARGETS_MAX {
                return &mut self.other_targets;
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

    fn prune_idle(&mut self, now: u64) {
        if self.len() < self.prune_at.max(TARGETS_MIN) {
            return;
        }
        self.devices.retain(|_, state| !state.bucket.is_full(now));
        self.topics.retain(|_, state| !state.bucket.is_full(now));
        self.prune_at = (self.len() * 2).min(TARGETS_MAX);
    }
}

impl TokenRates {
    fn of(&self, target: Target<'_>) -> Option<TokenRate> {
        match target {
            Target::Device(_) => self.device,
            Target::Topic(_) => self.topic,
        }
    }
}

/// Each target once, with the index of its first effect and how many there are. Effects of an event are few.
fn targets(effects: &[Effect]) -> impl Iterator<Item = (usize, Target<'_>, u32)> {
    effects.iter().enumerate().filter_map(|(index, effect)| {
        let target = effect.target()?;
        let same = |effect: &&Effect| effect.target() == Some(target);
        if effects.iter().take(index).any(|effect| same(&effect)) {
            return None;
        }
        let count = 1 + effects.iter().skip(index + 1).filter(same).count();
        Some((index, target, u32::try_from(count).unwrap_or(u32::MAX)))
    })
}

/// Each target of the effects and each called device once: the device, if it is one, and a hash.
pub(super) fn distinct_targets(effects: &[Effect], called: &[DeviceNum]) -> Vec<(Option<DeviceNum>, u64)> {
    let called = called.iter().copied().map(Target::Device);
    let targets: HashSet<Target<'_>> = effects.iter().filter_map(Effect::target).chain(called).collect();
    let with_hash = |target| {
        let device = if let Target::Device(device) = target { Some(device) } else { None };
        (device, target_hash(target))
    };
    targets.into_iter().map(with_hash).collect()
}

pub(super) fn target_hash(target: Target<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    hasher.finish()
}

/// How many targets effects and method calls have, and how many of both have one.
pub(super) fn target_counts(effects: &[Effect], calls: &[Called]) -> (u32, u32) {
    if calls.is_empty() {
        return targets(effects).fold((0, 0), |(count, sum), (_, _, effects)| (count + 1, effects.saturating_add(sum)));
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let called = calls.iter().map(|call| Target::Device(call.device));
    let all_targets = || effects.iter().filter_map(Effect::target).chain(called.clone());
    (count(all_targets().collect::<HashSet<_>>().len()), count(all_targets().count()))
}

#[cfg(test)]
mod tests;
