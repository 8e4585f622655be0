//! Traces in the sense of OpenTelemetry: a span for each event that a plugin handles, each execution, effect and settlement, joined
//! by the ids of W3C's Trace Context. Spans wait in a bounded queue to be sent. Nothing waits for that: what does not fit is dropped and counted.
//! This crate sends nothing itself.
//!
//! Most ids are derived from the ids that things have anyway (`explain` uses the same), so nothing has to be passed from an event
//! to its execution, to the journal and to the device's connection.

mod calls;
mod context;
mod current;
mod ids;
mod key;
mod memory;
mod operator;
mod operator_effect;
mod otlp;
mod protobuf;
mod queue;
#[cfg(test)]
mod sampling_tests;
mod span;
mod tracer;

pub use calls::Call;
pub use context::{Context, PROPERTY, TraceId};
pub use current::{current, current_traceparent, within};
pub use operator_effect::OperatorEffect;
pub use queue::{Batch, Outcome, SpanQueue};
pub use tracer::{EffectId, Ended, Execution, LimitHits, Spans, Tracer, Traces};
