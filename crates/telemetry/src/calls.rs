//! Calls: of the host's API by other programs, and of methods of devices.

use std::{borrow::Cow, sync::atomic::Ordering};

use switchbox_model::{CallRecord, DeviceName, PluginName, Seq};

use super::{
    context::{Context, SpanId},
    current::current,
    key::Key,
    span::{Span, SpanKind},
    tracer::Traces,
};

/// The span of a call in progress.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its trace, with itself as the parent.
    own: Context,
    id: SpanId,
    /// `None` if it is the first span of its trace.
    parent: Option<SpanId>,
    /// Another program began the trace.
    joined: bool,
    start_us: u64,
}

impl Call {
    /// For what it brings about. `None` if its trace is not sampled, and no other program began it.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        (self.own.sampled || self.joined).then_some(self.own)
    }

    fn span(self, name: Cow<'static, str>, kind: SpanKind, end_us: u64, error: Option<String>) -> Span {
        Span {
            trace: self.own.trace,
            id: self.id,
            parent: self.parent,
            name,
            kind,
            start_us: self.start_us,
            end_us,
            attributes: Vec::new(),
            links: Vec::new(),
            error,
        }
    }
}

impl Traces {
    fn begin_call(&self, of: Context, id: SpanId, joined: bool) -> Call {
        let own = Context { parent: Some(id), ..of };
        Call { own, id, parent: of.parent, joined, start_us: (self.now_us)() }
    }

    /// A call of the API came, with this header.
    #[must_use]
    pub fn api_call(&self, traceparent: Option<&str>) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let named = traceparent.and_then(Context::parse);
        let of = named.unwrap_or_else(|| self.ids.begun_by_call(number));
        self.begin_call(of, self.ids.call(number), named.is_some())
    }

    /// It was answered just now. One that failed by a fault of the host has a span also where its trace is not sampled.
    pub fn api_answered(&self, call: Call, name: &str, status: u16) {
        let error = (status >= 500).then(|| format!("HTTP status {status}"));
        if call.own.sampled || error.is_some() {
            let span = call.span(name.to_owned().into(), SpanKind::Server, (self.now_us)(), error);
            self.send(&span.with("http.response.status_code", u64::from(status)));
        }
    }

    /// An execution is about to call a method, its call number `index`.
    #[must_use]
    pub fn method_of(&self, seq: Seq, plugin: &PluginName, attempt: u32, index: u32) -> Call {
        let remembered = self.recall(Key::Event(seq));
        let of = remembered.unwrap_or_else(|| self.ids.begun(seq));
        let of = Context { parent: Some(self.ids.execution(seq, plugin, attempt)), ..of };
        self.begin_call(of, self.ids.method(&CallRecord::id_of(seq, plugin, index)), remembered.is_some())
    }

    /// The API call in progress is about to call a method.
    #[must_use]
    pub fn method(&self, id: &str) -> Call {
        let around = current();
        let of = around.unwrap_or_else(|| self.ids.begun_by_method(id));
        self.begin_call(of, self.ids.method(id), around.is_some())
    }

    /// It ended just now. One without an answer has a span also where its trace is not sampled.
    pub fn method_ended(&self, call: Call, id: String, device: &DeviceName, error: Option<String>) {
        if call.own.sampled || error.is_some() {
            let span = call.span("method call".into(), SpanKind::Client, (self.now_us)(), error);
            self.send(&span.with("switchbox.explain", id).with("switchbox.device", device.to_string()));
        }
    }

    /// The device is about to be sent the call `rid` as part of the current span.
    pub fn method_goes_out(&self, rid: u64) {
        if let Some(context) = current() {
            self.remember(Key::Method(rid), context);
        }
    }

    /// What is sent with it.
    #[must_use]
    pub fn method_traceparent(&self, rid: u64) -> Option<String> {
        self.recall(Key::Method(rid))?.traceparent()
    }
}
