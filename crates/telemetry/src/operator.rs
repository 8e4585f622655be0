//! What operators ask for through the API: configs and commands, which belong to the trace of the call.

use switchbox_model::Effect;

use super::{
    context::{Context, SpanId},
    current::current,
    operator_effect::OperatorEffect,
    span::{Span, SpanKind},
    tracer::{Spans, Traces, effect_name},
};

impl Traces {
    /// The call in progress is about to request these effects.
    pub fn remember_operator_effects(&self, time_ms: u64, effects: &[Effect]) {
        let Some(context) = current() else { return };
        for operator_effect in effects.iter().filter_map(|effect| OperatorEffect::of(effect, time_ms)) {
            self.remember(operator_effect.key(), context);
        }
    }

    /// An operator's effects that are committed and about to be applied, for [`Traces::committed`].
    #[must_use]
    pub fn operator(&self, time_ms: u64, effects: &[Effect]) -> Spans {
        let span = |effect| {
            let operator_effect = OperatorEffect::of(effect, time_ms)?;
            let context = self.recall(operator_effect.key()).filter(|context| context.sampled)?;
            let span = Span {
                trace: context.trace,
                id: self.ids.operator_effect(operator_effect.key()),
                parent: context.parent,
                name: effect_name(effect).into(),
                kind: SpanKind::Producer,
                start_us: time_ms.saturating_mul(1_000),
                end_us: 0,
                attributes: Vec::new(),
                links: Vec::new(),
                error: None,
            };
            Some(match operator_effect {
                OperatorEffect::Command { id } => span.with("switchbox.explain", id.to_owned()),
                OperatorEffect::Config { .. } => span,
            })
        };
        Spans(effects.iter().filter_map(span).collect())
    }

    /// The trace of an operator's effect, the effect's span, and the span of its end.
    pub(crate) fn of_operator(&self, operator_effect: OperatorEffect<'_>) -> (Context, SpanId, SpanId) {
        let key = operator_effect.key();
        let context = self.recall(key).unwrap_or_else(|| self.ids.begun_by_operator(key));
        (context, self.ids.operator_effect(key), self.ids.operator_ended(key))
    }
}

impl Spans {
    /// What `explain` takes, for those whose id is known only after they were applied.
    #[must_use]
    pub fn explained(mut self, id: impl Fn() -> Option<String>) -> Self {
        for span in self.0.iter_mut().filter(|span| span.attributes.is_empty()) {
            span.attributes.extend(id().map(|id| ("switchbox.explain", id.into())));
        }
        self
    }
}
