//! The results of a shadow: how often it did the same as the plugin in force, the kinds of differences, and some examples. Pure and
//! bounded.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    compare,
    effect::{EffectLine, OutcomeLine},
    method_calls::{self, CallLine},
};
use switchbox_model::limits;

/// Examples of each kind.
const EXAMPLES_OF_KIND: usize = 3;
/// Differences of one example.
const DIFFERENCES: usize = 4;
/// Method calls in an example before its effects.
const CALLS_FIRST: usize = 2;
/// Characters of the text of a difference.
const TEXT_CHARS: usize = 500;

/// The result of handling an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionSummary {
    pub outcome: OutcomeLine,
    pub effects: Vec<EffectLine>,
    /// The methods that it called. Is `None` if they are not known, so they are not compared.
    pub calls: Option<Vec<CallLine>>,
    pub guest_time: Duration,
    /// Bytes of the instance's memory after it. 0 if it is not known.
    pub memory_bytes: usize,
}

impl ExecutionSummary {
    /// An execution that did nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            outcome: OutcomeLine::Done,
            effects: Vec::new(),
            calls: Some(Vec::new()),
            guest_time: Duration::ZERO,
            memory_bytes: 0,
        }
    }

    fn has_calls(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }

    fn acted(&self) -> bool {
        !self.effects.is_empty() || self.has_calls()
    }
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
    /// Both had effects, method calls or outcomes, and they differed.
    pub different: u64,
    /// Only the plugin in force had effects or method calls.
    pub only_old: u64,
    /// Only the shadow had effects or method calls.
    pub only_new: u64,
    /// The shadow trapped or exceeded a limit, and the plugin in force did not.
    pub errors: u64,
    /// Counts by kind, such as `different config` or `only old method-call`. An event may have a kind for its effects and one for its
    /// method calls.
    pub kinds: BTreeMap<String, u64>,
    pub examples: Vec<Example>,
    pub old_time: Duration,
    pub new_time: Duration,
    /// The most bytes of memory that an instance of the shadow has had.
    pub memory_bytes: usize,
}

/// Which of the two did something.
fn which(old: bool, new: bool) -> &'static str {
    match (old, new) {
        (true, false) => "only old",
        (false, true) => "only new",
        _ => "different",
    }
}

impl ShadowReport {
    /// Adds an event that both have handled.
    pub fn add(&mut self, event: u64, device: &str, old: &ExecutionSummary, new: &ExecutionSummary) {
        self.events += 1;
        self.old_time += old.guest_time;
        self.new_time += new.guest_time;
        self.memory_bytes = self.memory_bytes.max(new.memory_bytes);
        let effects = compare::effects(&old.effects, &new.effects);
        let outcome = compare::outcomes(&old.outcome, &new.outcome);
        let calls = match (&old.calls, &new.calls) {
            (Some(old), Some(new)) => method_calls::differences(old, new),
            _ => Vec::new(),
        };
        if effects.is_empty() && outcome.is_none() && calls.is_empty() {
            self.equal += 1;
            return;
        }
        let failed = matches!(new.outcome, OutcomeLine::Failed(_)) && !matches!(old.outcome, OutcomeLine::Failed(_));
        let count = match (failed, old.acted(), new.acted()) {
            (true, ..) => &mut self.errors,
            (false, true, false) => &mut self.only_old,
            (false, false, true) => &mut self.only_new,
            _ => &mut self.different,
        };
        *count += 1;
        let mut kinds = Vec::new();
        if failed {
            kinds.push("error".to_owned());
        } else {
            if !effects.is_empty() || outcome.is_some() {
                let first = effects.first().and_then(|first| first.is.as_ref().or(first.was.as_ref()));
                let what = which(!old.effects.is_empty(), !new.effects.is_empty());
                kinds.push(format!("{what} {}", first.map_or("outcome", EffectLine::kind)));
            }
            if !calls.is_empty() {
                kinds.push(format!("{} method-call", which(old.has_calls(), new.has_calls())));
            }
        }
        kinds.iter().for_each(|kind| *self.kinds.entry(kind.clone()).or_default() += 1);
        // Of each kind there are calls in the text, also where the effects differ in many ways.
        let (few, more) = calls.split_at(calls.len().min(CALLS_FIRST));
        let effects = effects.iter().map(ToString::to_string);
        let differs = outcome.into_iter().chain(few.iter().cloned()).chain(effects).chain(more.iter().cloned());
        self.add_example(event, device, &kinds, differs);
    }

    /// Adds an example for the first of these kinds that has few.
    fn add_example(&mut self, event: u64, device: &str, kinds: &[String], differs: impl Iterator<Item = String>) {
        let of = |kind: &String| self.examples.iter().filter(|example| example.kind == *kind).count();
        let Some(kind) = kinds.iter().find(|kind| of(kind) < EXAMPLES_OF_KIND) else { return };
        if self.examples.len() < limits::SHADOW_EXAMPLES {
            let differs = differs.take(DIFFERENCES).map(|text| text.chars().take(TEXT_CHARS).collect()).collect();
            self.examples.push(Example { event, device: device.to_owned(), kind: kind.clone(), differs });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;
    use switchbox_model::{CallResult, DeviceNum};
    use switchbox_plugin_runtime::Called;

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
            ..ExecutionSummary::nothing()
        }
    }

    /// Calls of the method of these devices, each with a request.
    fn calling(configs: &[&str], calls: &[(u64, &str)]) -> ExecutionSummary {
        let call = |(device, request): &(u64, &str)| Called {
            device: DeviceNum(*device),
            method: "open".into(),
            request: bytes::Bytes::copy_from_slice(request.as_bytes()),
            request_hash: request.len() as u64,
            time_ms: 0,
            took: Duration::ZERO,
            result: CallResult::Failed("offline".into()),
        };
        let called: Vec<_> = calls.iter().map(call).collect();
        let calls = Some(method_calls::lines(&called, &|num| names::parse(&format!("door-{}", num.0)).ok()));
        ExecutionSummary { calls, memory_bytes: configs.len(), ..summary(OutcomeLine::Done, configs) }
    }

    #[test]
    fn method_calls_that_differ_are_a_kind_of_their_own() {
        let mut report = ShadowReport::default();
        let unknown = ExecutionSummary { calls: None, ..calling(&["a"], &[]) };
        for (old, new) in [
            (calling(&["a"], &[(1, "x")]), calling(&["a"], &[(1, "x")])),
            (calling(&[], &[(1, "x")]), calling(&[], &[])),
            (calling(&["a"], &[]), calling(&["a"], &[(1, "x")])),
            (calling(&["a"], &[(1, "x")]), calling(&["a"], &[(2, "x")])),
            (calling(&["a"], &[(1, "x"), (2, "x")]), calling(&["b"], &[(2, "x"), (1, "x")])),
            // Only the beginning is kept of a request.
            (calling(&["a"], &[(1, "long")]), calling(&["a"], &[(1, "longer")])),
            (unknown, calling(&["a"], &[(1, "x")])),
        ] {
            report.add(7, "switch-1", &old, &new);
        }
        let counts = [report.events, report.equal, report.different, report.only_old, report.only_new, report.errors];
        assert_eq!(counts, [7, 2, 4, 1, 0, 0]);
        let kinds: Vec<_> = report.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let expected =
            ["different config 1", "different method-call 3", "only new method-call 1", "only old method-call 1"];
        assert_eq!(kinds, expected);
        assert_eq!(report.examples[0].differs, ["method call 1: was door-1 open x, is none"]);
        let both = report.examples.iter().find(|example| example.kind == "different config").unwrap();
        assert_eq!(both.differs.len(), 3, "{both:?}");
        assert_eq!(report.memory_bytes, 1);
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
