//! Ids that are derived from the subject of a span: the same wherever they are computed, and different on another host or after
//! another start.

use switchbox_model::{EffectKey, PluginName, Seq};

use super::{
    context::{Context, SpanId, TraceId},
    key::{Key, mix},
};

/// Makes the ids of one run of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    key: u64,
    /// What the ids of traces begin with: every event asks whether its trace is sampled.
    traces: u64,
    /// A trace whose id has a lower half below this is sampled. With `None` all are.
    below: Option<u64>,
}

/// The kind of a span, so that no two kinds have the same id.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Trace = 1,
    Event,
    Execution,
    Effect,
    Ended,
    Entry,
    CallTrace,
    Call,
    OperatorTrace,
    OperatorEffect,
    OperatorEnded,
    MethodTrace,
    Method,
}

impl Ids {
    /// `ratio`: of the traces that begin here, this part is sampled.
    pub(crate) fn new(key: u64, ratio: f64) -> Self {
        let below = if ratio >= 1.0 { None } else { Some((ratio.max(0.0) * u64::MAX as f64) as u64) };
        Self { key, traces: mix(key ^ Kind::Trace as u64), below }
    }

    /// Of an event that begins a trace.
    pub(crate) fn begun(self, seq: Seq) -> Context {
        self.begun_by(Kind::Trace, seq.0)
    }

    /// Whether the trace that the event begins is sampled.
    #[inline]
    pub(crate) fn samples(self, seq: Seq) -> bool {
        self.below.is_none_or(|below| mix(self.traces ^ seq.0) < below)
    }

    /// Of a call of the API that begins a trace.
    pub(crate) fn begun_by_call(self, number: u64) -> Context {
        self.begun_by(Kind::CallTrace, number)
    }

    /// Of an operator's effect whose trace is not known: its errors alone have spans.
    pub(crate) fn begun_by_operator(self, key: Key) -> Context {
        Context { sampled: false, ..self.begun_by(Kind::OperatorTrace, key.hash()) }
    }

    /// The trace of a method call.
    pub(crate) fn begun_by_method(self, id: &str) -> Context {
        Context { sampled: false, ..self.begun_by(Kind::MethodTrace, text(id)) }
    }

    fn begun_by(self, kind: Kind, number: u64) -> Context {
        let low = self.of(kind, &[number]);
        let high = self.of(kind, &[number, low]);
        let sampled = self.below.is_none_or(|below| low < below);
        Context { trace: TraceId(u128::from(high.max(1)) << 64 | u128::from(low)), parent: None, sampled }
    }

    pub(crate) fn call(self, number: u64) -> SpanId {
        self.span(Kind::Call, &[number])
    }

    pub(crate) fn method(self, id: &str) -> SpanId {
        self.span(Kind::Method, &[text(id)])
    }

    pub(crate) fn operator_effect(self, key: Key) -> SpanId {
        self.span(Kind::OperatorEffect, &[key.hash()])
    }

    /// How the operator's effect ended.
    pub(crate) fn operator_ended(self, key: Key) -> SpanId {
        self.span(Kind::OperatorEnded, &[key.hash()])
    }

    pub(crate) fn event(self, seq: Seq) -> SpanId {
        self.span(Kind::Event, &[seq.0])
    }

    pub(crate) fn execution(self, seq: Seq, plugin: &PluginName, attempt: u32) -> SpanId {
        self.span(Kind::Execution, &[seq.0, text(plugin.as_str()), attempt.into()])
    }

    pub(crate) fn effect(self, key: &EffectKey) -> SpanId {
        self.span(Kind::Effect, &[key.seq.0, text(key.plugin.as_str()), key.index.into()])
    }

    /// How the effect ended.
    pub(crate) fn ended(self, key: &EffectKey) -> SpanId {
        self.span(Kind::Ended, &[key.seq.0, text(key.plugin.as_str()), key.index.into()])
    }

    /// An entry of the journal that has several executions.
    pub(crate) fn entry(self, first: Seq, plugin: &PluginName) -> SpanId {
        self.span(Kind::Entry, &[first.0, text(plugin.as_str())])
    }

    fn span(self, kind: Kind, parts: &[u64]) -> SpanId {
        SpanId(self.of(kind, parts).max(1))
    }

    fn of(self, kind: Kind, parts: &[u64]) -> u64 {
        parts.iter().fold(mix(self.key ^ kind as u64), |hash, part| mix(hash ^ part))
    }
}

/// FNV-1a.
pub(crate) fn text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_part_of_the_traces_that_was_asked_for_is_sampled() {
        for (ratio, expected) in [(0.0, 0..=0), (0.01, 800..=1_200), (0.5, 49_000..=51_000), (1.0, 100_000..=100_000)] {
            let ids = Ids::new(7, ratio);
            let sampled = (0..100_000).filter(|seq| ids.begun(Seq(*seq)).sampled).count();
            assert!((0..1_000).all(|seq| ids.samples(Seq(seq)) == ids.begun(Seq(seq)).sampled));
            assert!(expected.contains(&sampled), "{ratio}: {sampled}");
        }
    }

    #[test]
    fn no_two_spans_have_one_id_and_another_start_has_others() {
        let mut seen = HashSet::new();
        let plugin = |name| PluginName::new(name).unwrap();
        for ids in [Ids::new(1, 1.0), Ids::new(2, 1.0)] {
            for seq in (0..1_000).map(Seq) {
                assert!(seen.insert(ids.event(seq).0));
                for name in ["wake", "wake2"] {
                    let key = EffectKey { seq, plugin: plugin(name), index: 1 };
                    let of_plugin = [ids.execution(seq, &plugin(name), 1), ids.effect(&key), ids.ended(&key)];
                    assert!(of_plugin.into_iter().all(|id| seen.insert(id.0)));
                }
            }
        }
        assert_eq!(Ids::new(1, 1.0).event(Seq(5)), Ids::new(1, 1.0).event(Seq(5)));
    }
}
