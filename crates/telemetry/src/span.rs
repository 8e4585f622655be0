//! A span: what took how long, in which trace, because of what.

use std::borrow::Cow;

use super::context::{SpanId, TraceId};

/// What OTLP calls a span's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpanKind {
    Internal = 1,
    /// It answers another program.
    Server = 2,
    /// It asks another program, and waits for the answer.
    Client = 3,
    /// It hands something to another program.
    Producer = 4,
    /// It takes something from another program.
    Consumer = 5,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
}

#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    /// Microseconds since the Unix epoch.
    pub(crate) start_us: u64,
    pub(crate) end_us: u64,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    pub(crate) links: Vec<(TraceId, SpanId)>,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

impl Span {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}
