//! Reads exports of OTLP in the binary form of Protobuf, and gives the spans the form that OTLP has as JSON.

use serde_json::{Map, Value, json};

/// A value of a field.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// The fields of a message, with their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).unwrap();
                Field::Bytes(take(&mut bytes, length))
            }
            wire => panic!("wire type {wire}"),
        };
        found.push((tag >> 3, field));
    }
    found
}

/// The messages in the fields of this number.
fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let of = |(found, field)| match field {
        Field::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(of).collect()
}

/// The spans of an `ExportTraceServiceRequest`.
pub(super) fn spans(body: &[u8]) -> Vec<Value> {
    let resources = messages(body, 1).into_iter();
    let scopes = resources.flat_map(|resource| messages(resource, 2));
    scopes.flat_map(|scope| messages(scope, 2)).map(span).collect()
}

fn span(bytes: &[u8]) -> Value {
    let list = |number, read: fn(&[u8]) -> Value| messages(bytes, number).into_iter().map(read).collect::<Vec<_>>();
    let mut span = Map::new();
    span.insert("attributes".to_owned(), json!(list(9, attribute)));
    span.insert("links".to_owned(), json!(list(13, |link| with_names(link, &[(1, "traceId"), (2, "spanId")]))));
    let status = messages(bytes, 15).into_iter().next().unwrap_or_default();
    span.insert("status".to_owned(), with_names(status, &[(2, "message"), (3, "code")]));
    let names = [
        (1, "traceId"),
        (2, "spanId"),
        (4, "parentSpanId"),
        (5, "name"),
        (6, "kind"),
        (7, "startTimeUnixNano"),
        (8, "endTimeUnixNano"),
    ];
    let Value::Object(own) = with_names(bytes, &names) else { unreachable!() };
    span.extend(own);
    Value::Object(span)
}

fn attribute(bytes: &[u8]) -> Value {
    let value = messages(bytes, 2)[0];
    let mut attribute = with_names(bytes, &[(1, "key")]);
    attribute["value"] = with_names(value, &[(1, "stringValue"), (3, "intValue")]);
    attribute
}

/// The fields that have a name. Ids are hexadecimal digits, and 64-bit numbers are texts.
fn with_names(bytes: &[u8], names: &[(u64, &str)]) -> Value {
    let mut named = Map::new();
    for (number, field) in fields(bytes) {
        let Some((_, name)) = names.iter().find(|(of, _)| *of == number) else { continue };
        let value = match field {
            Field::Bytes(bytes) if name.ends_with("Id") => {
                json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            Field::Bytes(bytes) => json!(String::from_utf8(bytes.to_vec()).unwrap()),
            Field::Number(number) if ["kind", "code"].contains(name) => json!(number),
            Field::Number(number) => json!(number.to_string()),
        };
        named.insert((*name).to_owned(), value);
    }
    Value::Object(named)
}
