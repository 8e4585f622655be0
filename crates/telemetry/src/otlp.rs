//! The body of an export by OTLP, as JSON.

use serde_json::{Value as Json, json};

use super::span::{Span, Value};

/// `ExportTraceServiceRequest`.
pub(crate) fn body(spans: &[Span], instance: &str) -> Json {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        attribute("service.name", &Value::Text("switchbox".into())),
        attribute("service.version", &Value::Text(version.into())),
        attribute("service.instance.id", &Value::Text(instance.into())),
    ];
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{
            "scope": {"name": "switchbox", "version": version},
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

fn attribute(name: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        // A 64-bit number is a string in the JSON of Protobuf.
        Value::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": name, "value": value})
}

fn span(span: &Span) -> Json {
    let nanos = |us: u64| us.saturating_mul(1_000).to_string();
    let links = span.links.iter().map(|(trace, id)| json!({"traceId": trace.to_string(), "spanId": id.to_string()}));
    let mut written = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.start_us),
        "endTimeUnixNano": nanos(span.end_us.max(span.start_us)),
        "attributes": span.attributes.iter().map(|(name, value)| attribute(name, value)).collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "status": {},
    });
    if let Some(fields) = written.as_object_mut() {
        if let Some(parent) = span.parent {
            fields.insert("parentSpanId".into(), parent.to_string().into());
        }
        if let Some(error) = &span.error {
            // STATUS_CODE_ERROR
            fields.insert("status".into(), json!({"code": 2, "message": error}));
        }
    }
    written
}
