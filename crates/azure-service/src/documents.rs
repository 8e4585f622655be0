//! The desired and reported documents of a twin: the newest document with `$version` and `$metadata`, which has the time of the
//! last change of each value. The times are computed from the kept versions when a twin is read, so writing a version costs nothing
//! more.

use serde_json::{Map, Value, json};

use switchbox_support::clock;

/// One kept version of a document.
pub(crate) struct Version<'a> {
    pub(crate) number: u64,
    pub(crate) time_ms: u64,
    pub(crate) payload: &'a [u8],
}

/// A parsed version. Bytes that are not a JSON object count as `{}`.
struct Read {
    number: u64,
    time_ms: u64,
    value: Value,
}

/// The newest document without `$metadata`.
pub(crate) fn without_metadata(newest: Option<Version<'_>>) -> Value {
    let (number, mut document) =
        newest.map_or_else(Default::default, |version| (version.number, object(version.payload)));
    document.insert("$version".into(), number.into());
    Value::Object(document)
}

/// The newest document with `$metadata`. The versions are given newest first, as the store has them.
pub(crate) fn with_metadata<'a>(versions: impl Iterator<Item = Version<'a>>) -> Value {
    let read = |version: Version<'_>| Read {
        number: version.number,
        time_ms: version.time_ms,
        value: Value::Object(object(version.payload)),
    };
    let versions: Vec<_> = versions.map(read).collect();
    let all: Vec<_> = versions.iter().map(|version| (version, &version.value)).collect();
    let metadata = all.first().map_or_else(
        || json!({ "$lastUpdated": NEVER }),
        |(newest, value)| {
            let mut metadata = members(value, &all);
            stamp(&mut metadata, newest);
            Value::Object(metadata)
        },
    );
    let newest = versions.into_iter().next();
    let (number, value) = newest.map_or_else(|| (0, json!({})), |newest| (newest.number, newest.value));
    let Value::Object(mut document) = value else { return Value::Null };
    document.insert("$version".into(), number.into());
    document.insert("$metadata".into(), metadata);
    Value::Object(document)
}

/// Azure's value for a time that does not exist.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

fn object(payload: &[u8]) -> Map<String, Value> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// `$metadata` for the members of a value. `versions` has the same value in each version, newest first. The parser bounds the
/// nesting depth.
fn members(value: &Value, versions: &[(&Read, &Value)]) -> Map<String, Value> {
    let Value::Object(object) = value else { return Map::new() };
    let of_member = |(name, value): (&String, &Value)| {
        let before = versions.iter().map_while(|(version, value)| Some((*version, value.get(name)?)));
        let before: Vec<_> = before.collect();
        let mut metadata = members(value, &before);
        let same = before.iter().take_while(|(_, other)| *other == value);
        if let Some((since, _)) = same.last() {
            stamp(&mut metadata, since);
        }
        (name.clone(), Value::Object(metadata))
    };
    object.iter().map(of_member).collect()
}

fn stamp(metadata: &mut Map<String, Value>, version: &Read) {
    metadata.insert("$lastUpdated".into(), clock::rfc3339(version.time_ms).into());
    metadata.insert("$lastUpdatedVersion".into(), version.number.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_the_time_since_when_it_stands() {
        let versions = [
            (4, 4_000, r#"{"a":1,"b":{"c":2,"d":3}}"#),
            (3, 3_000, r#"{"a":1,"b":{"c":1,"d":3}}"#),
            (2, 2_000, r#"{"b":{"d":3},"a":2}"#),
            (1, 1_000, "no JSON"),
        ];
        let versions = versions.iter().map(|(number, time_ms, text)| Version {
            number: *number,
            time_ms: *time_ms,
            payload: text.as_bytes(),
        });
        let document = with_metadata(versions);
        assert_eq!(document["$version"], 4);
        assert_eq!(document["b"], json!({"c": 2, "d": 3}));
        let metadata = &document["$metadata"];
        for (pointer, version) in [("", 4), ("/a", 3), ("/b", 4), ("/b/c", 4), ("/b/d", 2)] {
            let found = metadata.pointer(pointer).unwrap();
            assert_eq!(found["$lastUpdatedVersion"], version, "{pointer}");
            let time = format!("1970-01-01T00:00:0{version}.000Z");
            assert_eq!(found["$lastUpdated"], time, "{pointer}");
        }
        let empty = with_metadata(std::iter::empty());
        assert_eq!(empty, json!({"$version": 0, "$metadata": {"$lastUpdated": NEVER}}));
        assert_eq!(without_metadata(None), json!({"$version": 0}));
    }
}
