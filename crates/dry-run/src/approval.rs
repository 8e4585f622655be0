//! Whether the effects of an execution would wait for an operator's approval. Pure.

use std::collections::BTreeSet;

use crate::effect::EffectLine;
use switchbox_plugin_runtime::{Limits, limits::Line};

/// Why they would wait. Returns `None` if they would not. How many new targets a plugin has in a minute depends on what it did before, so
/// that limit is not checked.
#[must_use]
pub fn why(effects: &[EffectLine], limits: &Limits) -> Option<String> {
    let most = limits.max_targets_per_event?;
    let targets: BTreeSet<_> = effects.iter().filter_map(target).collect();
    let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    let (key, more) = (Line::MaxTargetsPerEvent.key(), limits.raise(Line::MaxTargetsPerEvent));
    (count > most.get()).then(|| format!("limits.{key}: {count} targets; up to {most} need no approval{more}"))
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target<'a> {
    Device(&'a str),
    Topic(&'a str),
}

fn target(effect: &EffectLine) -> Option<Target<'_>> {
    match effect {
        EffectLine::Config { device, .. }
        | EffectLine::PatchDesired { device, .. }
        | EffectLine::Command { device, .. } => Some(Target::Device(device)),
        EffectLine::Publish { topic, .. } => Some(Target::Topic(topic)),
        EffectLine::TimerSet { .. } | EffectLine::TimerCancel { .. } | EffectLine::State { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::payload::Payload;

    #[test]
    fn each_device_and_each_topic_counts_once() {
        let device = |id: &str| EffectLine::Config { device: id.into(), payload: Payload::default(), expected: None };
        let topic = EffectLine::Publish { topic: "lamp-1".into(), payload: Payload::default(), qos: 0, retain: false };
        let timer = EffectLine::TimerCancel { name: "off".into() };
        let effects = [device("lamp-1"), device("lamp-1"), topic, timer, device("lamp-2")];
        let limits = |most| Limits { max_targets_per_event: NonZeroU32::new(most), ..Limits::default() };
        assert_eq!(why(&effects, &limits(3)), None);
        let text = "limits.max-targets-per-event: 3 targets; up to 2 need no approval; max-targets-per-event = 4 under [limits] of its .toml raises it";
        assert_eq!(why(&effects, &limits(2)).as_deref(), Some(text));
        assert_eq!(why(&effects, &Limits::default()), None);
    }
}
