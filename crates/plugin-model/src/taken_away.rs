//! Finds what an operator took away from a plugin between two of its settings files: a grant, or a part of a limit. Pure.

use std::num::NonZeroU32;

use super::{
    grants::{GrantPatterns, GrantRequest},
    ineffective::covers,
    limits::{Limits, Line},
    rate::Rate,
    settings::PluginSettings,
};

/// What the settings `before` give and `after` does not, for a message. Returns `None` if that is nothing. Without `[grants]`, `before` gives
/// what its component asks for (`asks`). A pattern of grants counts as taken away if it cannot be decided easily whether the other patterns
/// cover it.
#[must_use]
pub fn taken_away(before: &PluginSettings, asks: &[GrantRequest], after: &PluginSettings) -> Option<String> {
    let before_grants = before.grants.clone().unwrap_or_else(|| {
        let mut all = GrantPatterns::new();
        asks.iter().for_each(|ask| all.entry(ask.capability).or_default().push(ask.pattern.clone()));
        all
    });
    grant(&before_grants, after.grants.as_ref()).or_else(|| limit(&before.limits, &after.limits))
}

fn grant(before: &GrantPatterns, after: Option<&GrantPatterns>) -> Option<String> {
    let after = after?;
    for (capability, patterns) in before {
        let given = after.get(capability).map_or(&[] as &[String], Vec::as_slice);
        let is_given =
            |pattern: &String| given.iter().any(|wide| wide == pattern || covers(*capability, wide, pattern));
        if let Some(pattern) = patterns.iter().find(|pattern| !is_given(pattern)) {
            return Some(format!("the grant {} = [\"{pattern}\"]", capability.as_str()));
        }
    }
    None
}

fn limit(before: &Limits, after: &Limits) -> Option<String> {
    let is_looser = |line: &Line| match line {
        Line::Deadline => before.deadline > after.deadline,
        Line::StartDeadline => before.start_deadline > after.start_deadline,
        Line::Memory => before.memory.0 > after.memory.0,
        Line::Output => before.output.0 > after.output.0,
        Line::LogLines => before.log_lines > after.log_lines,
        Line::HostCalls => before.host_calls > after.host_calls,
        Line::HostCallTime => before.host_call_time > after.host_call_time,
        Line::EffectsPerEvent => before.effects_per_event > after.effects_per_event,
        Line::RatePerDevice => is_faster(before.rate_per_device(), after.rate_per_device()),
        Line::RatePerTopic => is_faster(before.rate_per_topic(), after.rate_per_topic()),
        Line::BurstPerTarget => [Limits::rate_per_device, Limits::rate_per_topic]
            .into_iter()
            .any(|rate| burst(before, rate(before)) > burst(after, rate(after))),
        Line::EffectsPerSecond => before.effects_per_second > after.effects_per_second,
        Line::MaxTargetsPerEvent => most(before.max_targets_per_event) > most(after.max_targets_per_event),
        Line::MaxNewTargetsPerMinute => {
            most(before.max_new_targets_per_minute) > most(after.max_new_targets_per_minute)
        }
    };
    Line::ALL.iter().find(|line| is_looser(line)).map(|line| format!("a higher limits.{}", line.key()))
}

/// A count that is not set allows any number.
fn most(count: Option<NonZeroU32>) -> u32 {
    count.map_or(u32::MAX, NonZeroU32::get)
}

/// Without a line of its own it is as many as the rate has in a second.
fn burst(limits: &Limits, rate: Rate) -> u128 {
    match (rate, limits.burst_per_target) {
        (Rate::Unlimited, _) => u128::MAX,
        (Rate::Of { .. }, Some(burst)) => burst.get().into(),
        (Rate::Of { count, per }, None) => u128::from(count) * 1_000 / per.as_millis().max(1),
    }
}

fn is_faster(one: Rate, other: Rate) -> bool {
    match (one, other) {
        (_, Rate::Unlimited) => false,
        (Rate::Unlimited, Rate::Of { .. }) => true,
        (Rate::Of { count, per }, Rate::Of { count: other_count, per: other_per }) => {
            u128::from(count) * other_per.as_nanos() > u128::from(other_count) * per.as_nanos()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::Capability;

    #[test]
    fn what_is_narrower_than_before_is_taken_away_and_what_is_wider_is_not() {
        for (before, after, expected) in [
            ("", "", None),
            ("[grants]\nconfig = [\"fan-1\"]", "[grants]\nconfig = [\"fan-1\", \"fan-2\"]", None),
            ("[grants]\nconfig = [\"fan-1\"]", "[grants]\nconfig = [\"fan-*\"]", None),
            ("[grants]\nconfig = [\"fan-1\"]", "", None),
            ("[grants]\nconfig = [\"fan-1\"]", "[grants]\nconfig = []", Some("the grant config = [\"fan-1\"]")),
            ("[grants]\nconfig = [\"fan-*\"]", "[grants]\nconfig = [\"fan-1\"]", Some("config = [\"fan-*\"]")),
            ("[grants]\nconfig = [\"fan-1\"]", "[grants]\ncommand = [\"fan-1\"]", Some("config = [\"fan-1\"]")),
            ("[grants]\npublish = [\"a/#\"]", "[grants]\npublish = [\"a/b\"]", Some("publish = [\"a/#\"]")),
            ("[grants]\npublish = [\"a/b\"]", "[grants]\npublish = [\"a/#\"]", None),
            ("", "[grants]\nconfig = [\"fan-1\"]", Some("the grant read = [\"lamp-*\"]")),
            ("", "[grants]\nread = [\"*\"]", None),
            ("[limits]\nmax-targets-per-event = 2", "", None),
            ("", "[limits]\nmax-targets-per-event = 2", Some("a higher limits.max-targets-per-event")),
            ("", "[limits]\nmax-new-targets-per-minute = 2", Some("limits.max-new-targets-per-minute")),
            ("", "[limits]\nrate-per-target = \"100/s\"", Some("limits.rate-per-target")),
            ("", "[limits]\nburst-per-target = 5", Some("limits.burst-per-target")),
            ("[limits]\nburst-per-target = 5", "", None),
            (
                "[limits]\nrate-per-target = \"1/s\"\nburst-per-target = 5",
                "[limits]\nrate-per-target = \"1/s\"",
                Some("burst"),
            ),
            ("", "[limits]\neffects-per-second = 5", Some("limits.effects-per-second")),
            ("[limits]\nrate-per-target = \"100/s\"", "[limits]\nrate-per-target = \"6000/m\"", None),
            (
                "[limits]\nrate-per-target = \"unlimited\"",
                "[limits]\nrate-per-target = \"9/s\"",
                Some("rate-per-target"),
            ),
            ("", "[limits]\nmemory = \"1MiB\"", Some("limits.memory")),
            ("", "[limits]\ndeadline = \"10ms\"", Some("limits.deadline")),
            ("", "[limits]\ndeadline = \"10s\"\nmemory = \"64MiB\"", None),
            ("", "[settings]\nlimit = 3", None),
        ] {
            let parsed = |text: &str| PluginSettings::parse(text).unwrap();
            let asks = [GrantRequest { capability: Capability::Read, pattern: "lamp-*".into() }];
            let found = taken_away(&parsed(before), &asks, &parsed(after));
            match expected {
                None => assert_eq!(found, None, "{before} / {after}"),
                Some(expected) => assert!(found.as_ref().unwrap().contains(expected), "{before} / {after}: {found:?}"),
            }
        }
    }
}
