//! Exports by OTLP: `ExportTraceServiceRequest` in the binary form of Protobuf, which every collector takes. Repeated fields stand one after
//! the other there, so spans are written one by one, and the request around them at the end.

use super::{
    context::{SpanId, TraceId},
    protobuf::Writer,
    span::{Span, Value},
};

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;
/// The request around the spans takes less than this.
const HEAD_BYTES: usize = 512;

/// Field numbers of `ExportTraceServiceRequest`, and of the messages in it.
mod request {
    pub(super) const RESOURCE_SPANS: u32 = 1;
}

mod resource_spans {
    pub(super) const RESOURCE: u32 = 1;
    pub(super) const SCOPE_SPANS: u32 = 2;
}

mod resource {
    pub(super) const ATTRIBUTES: u32 = 1;
}

mod scope_spans {
    pub(super) const SCOPE: u32 = 1;
    pub(super) const SPANS: u32 = 2;
}

mod scope {
    pub(super) const NAME: u32 = 1;
    pub(super) const VERSION: u32 = 2;
}

mod span {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const LINKS: u32 = 13;
    pub(super) const STATUS: u32 = 15;
}

mod link {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
}

mod status {
    pub(super) const MESSAGE: u32 = 2;
    pub(super) const CODE: u32 = 3;
}

mod attribute {
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
}

mod value {
    pub(super) const TEXT: u32 = 1;
    pub(super) const NUMBER: u32 = 3;
}

/// The request with spans that are written already.
pub(crate) fn body(spans: &[u8], instance: &str) -> Vec<u8> {
    of_version(spans, instance, env!("CARGO_PKG_VERSION"))
}

fn of_version(spans: &[u8], instance: &str, version: &str) -> Vec<u8> {
    let attributes = [("service.name", "switchbox"), ("service.version", version), ("service.instance.id", instance)];
    let mut out = Writer::with_capacity(spans.len() + HEAD_BYTES);
    out.message(request::RESOURCE_SPANS, |out| {
        out.message(resource_spans::RESOURCE, |out| {
            for (key, text) in attributes {
                let value = |out: &mut Writer| out.bytes(value::TEXT, text);
                out.message(resource::ATTRIBUTES, |out| write_attribute(out, key, value));
            }
        });
        out.message(resource_spans::SCOPE_SPANS, |out| {
            out.message(scope_spans::SCOPE, |out| {
                out.bytes(scope::NAME, "switchbox");
                out.bytes(scope::VERSION, version);
            });
            out.written(spans);
        });
    });
    out.into_bytes()
}

/// Adds a span to those of a request.
pub(crate) fn write(out: &mut Writer, span: &Span) {
    out.message(scope_spans::SPANS, |out| write_span(out, span));
}

fn write_span(out: &mut Writer, span: &Span) {
    let nanos = |us: u64| us.saturating_mul(1_000);
    out.bytes(span::TRACE_ID, trace(span.trace));
    out.bytes(span::SPAN_ID, id(span.id));
    if let Some(parent) = span.parent {
        out.bytes(span::PARENT_SPAN_ID, id(parent));
    }
    out.bytes(span::NAME, span.name.as_bytes());
    out.number(span::KIND, span.kind as u64);
    out.fixed64(span::START, nanos(span.start_us));
    out.fixed64(span::END, nanos(span.end_us.max(span.start_us)));
    for (key, value) in &span.attributes {
        let value = |out: &mut Writer| match value {
            Value::Text(text) => out.bytes(value::TEXT, text),
            Value::Number(number) => out.number(value::NUMBER, *number),
        };
        out.message(span::ATTRIBUTES, |out| write_attribute(out, key, value));
    }
    for (of, span) in &span.links {
        out.message(span::LINKS, |out| {
            out.bytes(link::TRACE_ID, trace(*of));
            out.bytes(link::SPAN_ID, id(*span));
        });
    }
    if let Some(error) = &span.error {
        out.message(span::STATUS, |out| {
            out.bytes(status::MESSAGE, error);
            out.number(status::CODE, ERROR);
        });
    }
}

/// The content of a `KeyValue`.
fn write_attribute(out: &mut Writer, key: &str, value: impl FnOnce(&mut Writer)) {
    out.bytes(attribute::KEY, key);
    out.message(attribute::VALUE, value);
}

fn trace(id: TraceId) -> [u8; 16] {
    id.0.to_be_bytes()
}

fn id(id: SpanId) -> [u8; 8] {
    id.0.to_be_bytes()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{protobuf::tests::fields, span::SpanKind};

    /// The names of spans that were written.
    pub(crate) fn names(spans: &[u8]) -> Vec<String> {
        let name = |(_, span)| fields(span).into_iter().find(|(field, _)| *field == span::NAME).unwrap().1;
        fields(spans).into_iter().map(name).map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
    }

    /// What the package `opentelemetry-proto` 1.45.2 of Python makes of the same spans, as hexadecimal digits.
    const EXPECTED: &str = "\
        0a99030a580a1b0a0c736572766963652e6e616d65120b0a09737769746368626f780a1a0a0f736572766963652e76657273696f6e12070a05302e31\
        2e300a1d0a13736572766963652e696e7374616e63652e696412060a046865726512bc020a120a09737769746368626f781205302e312e3012620a10\
        000000000000000000000000000000ab120800000000000000072a0f6576656e742074656c656d657472793005398813000000000000418813000000\
        0000007a1f121b2271756f74656422205c206261636b0a01203c623ec3bc3c2f623e180212c1010a10000000000000000000000000000000ab120800\
        00000000000007220800000000000000072a0f6576656e742074656c656d65747279300539881300000000000041801bfefbea9cec184a170a117377\
        69746368626f782e617474656d7074120218024a1f0a11737769746368626f782e6578706c61696e120a0a08312e2277616b65226a1c0a1000000000\
        000000000000000000000001120800000000000000026a1c0a100000000000000000000000000000000312080000000000000004";

    #[test]
    fn spans_are_written_as_other_programs_write_them() {
        let first = Span {
            trace: TraceId(0xab),
            id: SpanId(7),
            parent: None,
            name: "event telemetry".into(),
            kind: SpanKind::Consumer,
            start_us: 5,
            // The clock went back.
            end_us: 3,
            attributes: Vec::new(),
            links: Vec::new(),
            error: Some("\"quoted\" \\ back\n\u{1} <b>ü</b>".to_owned()),
        };
        let second = Span { parent: Some(SpanId(7)), error: None, end_us: 1_795_982_884_478_000, ..first.clone() };
        let mut second = second.with("switchbox.attempt", 2).with("switchbox.explain", "1.\"wake\"".to_owned());
        second.links = vec![(TraceId(1), SpanId(2)), (TraceId(3), SpanId(4))];
        let mut spans = Writer::default();
        [first, second].iter().for_each(|span| write(&mut spans, span));
        let written = of_version(spans.bytes_so_far(), "here", "0.1.0");
        let digits: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits, EXPECTED);
    }
}
