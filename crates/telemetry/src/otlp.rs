//! The body of an export by OTLP, as JSON. Spans are serialised as they are: a tree of JSON values for each would cost more than all else
//! that is done for a span.

use serde::{Serialize, Serializer};

use super::{
    context::{SpanId, TraceId},
    span::{Span, Value},
};

/// `ExportTraceServiceRequest`.
pub(crate) fn body(spans: &[Span], instance: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let attribute = |key, text: &str| (key, Value::Text(text.to_owned()));
    let attributes = [
        attribute("service.name", "switchbox"),
        attribute("service.version", version),
        attribute("service.instance.id", instance),
    ];
    let scope = Scope { name: "switchbox", version };
    let scope_spans = [ScopeSpans { scope, spans: Spans(spans) }];
    let resource = Resource { attributes: Attributes(&attributes) };
    let request = Request { resource_spans: [ResourceSpans { resource, scope_spans }] };
    // Numbers and texts can always be JSON.
    serde_json::to_string(&request).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: Attributes<'a>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Spans<'a>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenSpan<'a> {
    trace_id: Written<TraceId>,
    span_id: Written<SpanId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Written<SpanId>>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: Written<u64>,
    end_time_unix_nano: Written<u64>,
    attributes: Attributes<'a>,
    links: Links<'a>,
    status: Status<'a>,
}

impl<'a> From<&'a Span> for WrittenSpan<'a> {
    fn from(span: &'a Span) -> Self {
        let nanos = |us: u64| Written(us.saturating_mul(1_000));
        Self {
            trace_id: Written(span.trace),
            span_id: Written(span.id),
            parent_span_id: span.parent.map(Written),
            name: &span.name,
            kind: span.kind as u8,
            start_time_unix_nano: nanos(span.start_us),
            end_time_unix_nano: nanos(span.end_us.max(span.start_us)),
            attributes: Attributes(&span.attributes),
            links: Links(&span.links),
            // STATUS_CODE_ERROR
            status: Status { code: span.error.as_ref().map(|_| 2), message: span.error.as_deref() },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    trace_id: Written<TraceId>,
    span_id: Written<SpanId>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: WrittenValue<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WrittenValue<'a> {
    StringValue(&'a str),
    IntValue(Written<u64>),
}

/// Written as text: ids, and 64-bit numbers, which are strings in the JSON of Protobuf.
struct Written<T>(T);

impl Serialize for Written<TraceId> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text(&hex::<32>(self.0.0)))
    }
}

impl Serialize for Written<SpanId> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text(&hex::<16>(self.0.0.into())))
    }
}

impl Serialize for Written<u64> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut digits, mut left, mut from) = ([b'0'; 20], self.0, 20);
        for digit in digits.iter_mut().rev() {
            (*digit, left, from) = (digit_of(left % 10), left / 10, from - 1);
            if left == 0 {
                break;
            }
        }
        serializer.serialize_str(text(digits.get(from..).unwrap_or_default()))
    }
}

/// The lower `N` hexadecimal digits. A span has ten numbers, and the general formatter takes most of the time that it is written in.
fn hex<const N: usize>(mut number: u128) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = digit_of((number & 15) as u64);
        number >>= 4;
    }
    digits
}

/// `value`: less than 16.
fn digit_of(value: u64) -> u8 {
    b"0123456789abcdef".get(usize::try_from(value).unwrap_or(0)).copied().unwrap_or(b'0')
}

/// Digits are ASCII.
fn text(digits: &[u8]) -> &str {
    str::from_utf8(digits).unwrap_or_default()
}

struct Spans<'a>(&'a [Span]);

impl Serialize for Spans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(WrittenSpan::from))
    }
}

struct Attributes<'a>(&'a [(&'static str, Value)]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(key, value)| Attribute {
            key,
            value: match value {
                Value::Text(text) => WrittenValue::StringValue(text),
                Value::Number(number) => WrittenValue::IntValue(Written(*number)),
            },
        }))
    }
}

struct Links<'a>(&'a [(TraceId, SpanId)]);

impl Serialize for Links<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = |(trace, span): &(TraceId, SpanId)| Link { trace_id: Written(*trace), span_id: Written(*span) };
        serializer.collect_seq(self.0.iter().map(link))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{
        context::{SpanId, TraceId},
        span::SpanKind,
    };

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 1, 9, 10, 0xabc, 1_795_982_884_478_000, u64::MAX] {
            let written = [
                serde_json::to_string(&Written(number)),
                serde_json::to_string(&Written(SpanId(number))),
                serde_json::to_string(&Written(TraceId(u128::from(number) << 3))),
            ];
            let expected = [format!("{number}"), format!("{number:016x}"), format!("{:032x}", u128::from(number) << 3)];
            assert_eq!(written.map(Result::unwrap), expected.map(|text| format!("\"{text}\"")));
        }
    }

    #[test]
    fn a_span_is_written_as_json_whatever_its_texts_contain() {
        let error = "\"quoted\" \\ back\n\u{1} <b>ü</b>";
        let first = Span {
            trace: TraceId(0xab),
            id: SpanId(7),
            parent: None,
            name: "event telemetry".into(),
            kind: SpanKind::Consumer,
            start_us: 5,
            end_us: 3,
            attributes: Vec::new(),
            links: Vec::new(),
            error: Some(error.into()),
        };
        let mut second = Span { parent: Some(SpanId(7)), error: None, ..first.clone() }.with("switchbox.attempt", 2);
        second = second.with("switchbox.explain", "1.\"wake\"".to_owned());
        second.links = vec![(TraceId(1), SpanId(2)), (TraceId(3), SpanId(4))];
        let written: Json = serde_json::from_str(&body(&[first, second], "here")).unwrap();
        let resource = &written["resourceSpans"][0]["resource"]["attributes"];
        assert_eq!(resource[2], json!({"key": "service.instance.id", "value": {"stringValue": "here"}}));
        let spans = &written["resourceSpans"][0]["scopeSpans"][0]["spans"];
        let id = |number: u8| format!("{number:016x}");
        assert_eq!(
            spans[0],
            json!({
                "traceId": format!("{:032x}", 0xab), "spanId": id(7), "name": "event telemetry", "kind": 5,
                "startTimeUnixNano": "5000", "endTimeUnixNano": "5000", "attributes": [], "links": [],
                "status": {"code": 2, "message": error},
            })
        );
        assert_eq!((&spans[1]["parentSpanId"], &spans[1]["status"]), (&json!(id(7)), &json!({})));
        assert_eq!(spans[1]["attributes"][0], json!({"key": "switchbox.attempt", "value": {"intValue": "2"}}));
        assert_eq!(spans[1]["attributes"][1]["value"]["stringValue"], "1.\"wake\"");
        assert_eq!(spans[1]["links"][1], json!({"traceId": format!("{:032x}", 3), "spanId": id(4)}));
        assert_eq!((spans.as_array().unwrap().len(), spans[1]["links"].as_array().unwrap().len()), (2, 2));
    }
}
