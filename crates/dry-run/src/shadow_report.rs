//! The results of a shadow: how often it did the same as the plugin in force, the kinds of differences, and some examples. Pure and
//! bounded.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    compare,
    effect::{EffectLine, OutcomeLine},
};
use switchbox_model::limits;

/// Examples of each kind.
const EXAMPLES_OF_KIND: usize = 3;
/// Differences of one example.
const DIFFERENCES: usize = 4;
/// Characters of the text of a difference.
const TEXT_CHARS: usize = 500;

/// The result of handling an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionSummary {
    pub outcome: OutcomeLine,
    pub effects: Vec<EffectLine>,
    pub guest_time: Duration,
}

/// An event that the shadow handled differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub event: u64,
    /// Empty if the event has no device.
    pub device: String,
    pub kind: String,
    pub differs: Vec<String>,
}

/// The results of a shadow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShadowReport {
    pub events: u64,
    pub equal: u64,
    /// Both had effects or outcomes, and they differed.
    pub different: u64,
    /// Only the plugin in force had effects.
    pub only_old: u64,
    /// Only the shadow had effects.
    pub only_new: u64,
    /// The shadow trapped or exceeded a limit, and the plugin in force did not.
    pub errors: u64,
    /// Counts by kind, such as `different config`.
    pub kinds: BTreeMap<String, u64>,
    pub examples: Vec<Example>,
    pub old_time: Duration,
    pub new_time: Duration,
}

impl ShadowReport {
    /// Adds an event that both have handled.
    pub fn add(&mut self, event: u64, device: &str, old: &ExecutionSummary, new: &ExecutionSummary) {
        self.events += 1;
        self.old_time += old.guest_time;
        self.new_time += new.guest_time;
        let effects = compare::effects(&old.effects, &new.effects);
        let outcome = compare::outcomes(&old.outcome, &new.outcome);
        if effects.is_empty() && outcome.is_none() {
            self.equal += 1;
            return;
        }
        let failed = matches!(new.outcome, OutcomeLine::Failed(_)) && !matches!(old.outcome, OutcomeLine::Failed(_));
        let (count, what) = match (failed, old.effects.is_empty(), new.effects.is_empty()) {
            (true, ..) => (&mut self.errors, "error"),
            (false, false, true) => (&mut self.only_old, "only old"),
            (false, true, false) => (&mut self.only_new, "only new"),
            _ => (&mut self.different, "different"),
        };
        *count += 1;
        let about = effects.first().and_then(|first| first.is.as_ref().or(first.was.as_ref())).map(EffectLine::kind);
        let kind = if failed { what.to_owned() } else { format!("{what} {}", about.unwrap_or("outcome")) };
        *self.kinds.entry(kind.clone()).or_default() += 1;
        let same_kind = self.examples.iter().filter(|example| example.kind == kind).count();
        if same_kind < EXAMPLES_OF_KIND && self.examples.len() < limits::SHADOW_EXAMPLES {
            let differs = outcome.into_iter().chain(effects.iter().map(ToString::to_string)).take(DIFFERENCES);
            let differs = differs.map(|text| text.chars().take(TEXT_CHARS).collect()).collect();
            self.examples.push(Example { event, device: device.to_owned(), kind, differs });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcome: OutcomeLine, configs: &[&str]) -> ExecutionSummary {
        let config = |payload: &&str| EffectLine::Config {
            device: "lamp-1".into(),
            payload: crate::payload::Payload(bytes::Bytes::copy_from_slice(payload.as_bytes())),
            expected: None,
        };
        ExecutionSummary {
            outcome,
            effects: configs.iter().map(config).collect(),
            guest_time: Duration::from_micros(10),
        }
    }

    #[test]
    fn differences_are_counted_by_kind_with_few_examples() {
        let mut report = ShadowReport::default();
        let done = |configs: &[&str]| summary(OutcomeLine::Done, configs);
        for (old, new) in [
            (done(&["a"]), done(&["a"])),
            (done(&["a"]), done(&["b"])),
            (done(&["a"]), done(&["a", "b"])),
            (done(&["a"]), done(&[])),
            (done(&[]), done(&["a"])),
            (done(&["a"]), summary(OutcomeLine::Failed("trap".into()), &[])),
            (summary(OutcomeLine::Failed("here".into()), &[]), summary(OutcomeLine::Failed("there".into()), &[])),
            (done(&[]), summary(OutcomeLine::Reject("no".into()), &[])),
        ] {
            report.add(7, "switch-1", &old, &new);
        }
        let counts = [report.events, report.equal, report.different, report.only_old, report.only_new, report.errors];
        assert_eq!(counts, [8, 2, 3, 1, 1, 1]);
        let kinds: Vec<_> = report.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let expected =
            ["different config 2", "different outcome 1", "error 1", "only new config 1", "only old config 1"];
        assert_eq!(kinds, expected);
        assert_eq!(report.examples[0].differs, ["effect 1: was config lamp-1 a, is config lamp-1 b"]);
        (0..10).for_each(|_| report.add(8, "", &done(&["a"]), &done(&["b"])));
        assert_eq!(report.examples.iter().filter(|example| example.kind == "different config").count(), 3);
    }
}
