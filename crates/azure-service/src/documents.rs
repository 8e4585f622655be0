//! The desired and reported documents of a twin: the newest document with `$version` and `$metadata`, which has the time of the
//! last change of each value. The times are computed from the kept versions when a twin is read, so writing a version costs nothing
//! more.

use serde_json::{Map, Value};

use crate::members::{self, Members};
use switchbox_rules::json::{self, Kind, Object, Tolerance, same, to_serde};
use switchbox_support::clock;

/// One kept version of a document.
pub(crate) struct Version<'a> {
    pub(crate) number: u64,
    pub(crate) time_ms: u64,
    pub(crate) payload: &'a [u8],
}

/// A parsed version. Bytes that are not a JSON object count as `{}`.
struct Read<'a> {
    number: u64,
    time_ms: u64,
    object: Object<'a>,
}

/// The newest document without `$metadata`, for a query. A number is the nearest one that `serde_json` has.
pub(crate) fn without_metadata(newest: Option<Version<'_>>) -> Value {
    let (number, mut document) =
        newest.map_or_else(Default::default, |version| (version.number, object(version.payload)));
    document.insert("$version".into(), number.into());
    Value::Object(document)
}

/// The newest document with `$metadata`. The versions are given newest first, as the store has them.
pub(crate) fn with_metadata<'a>(versions: impl Iterator<Item = Version<'a>>) -> Members {
    let read = |version: Version<'a>| Read {
        number: version.number,
        time_ms: version.time_ms,
        object: json::object(version.payload).unwrap_or_default(),
    };
    let versions: Vec<_> = versions.map(read).collect();
    let all: Vec<_> = versions.iter().map(|version| (version, &version.object)).collect();
    let (mut document, mut number) = (Members::new(), 0);
    let mut metadata = Map::new();
    match versions.first() {
        Some(newest) => {
            (document, number) = (members::of_object(&newest.object), newest.number);
            metadata = of_members(&newest.object, &all);
            stamp(&mut metadata, newest);
        }
        None => drop(metadata.insert("$lastUpdated".into(), NEVER.into())),
    }
    document.insert("$version".into(), members::raw(&number));
    document.insert("$metadata".into(), members::raw(&metadata));
    document
}

/// Azure's value for a time that does not exist.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// As `serde_json` has it. Bytes that are not a JSON object count as `{}`.
pub(crate) fn object(payload: &[u8]) -> Map<String, Value> {
    match json::parse(payload).map(|document| to_serde(&document)) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// `$metadata` for the members of an object. `versions` has the same object in each version, newest first. The parser bounds the
/// nesting depth.
fn of_members(object: &Object<'_>, versions: &[(&Read<'_>, &Object<'_>)]) -> Map<String, Value> {
    let of_member = |member: &json::Member<'_>| {
        let before = versions.iter().map_while(|(version, object)| Some((*version, object.get(&member.key)?)));
        let before: Vec<_> = before.collect();
        let mut metadata = match &member.value.kind {
            Kind::Object(object) => {
                let objects = before.iter().map_while(|(version, value)| match &value.kind {
                    Kind::Object(object) => Some((*version, object)),
                    _ => None,
                });
                of_members(object, &objects.collect::<Vec<_>>())
            }
            _ => Map::new(),
        };
        let unchanged = before.iter().take_while(|(_, other)| same(other, &member.value, Tolerance::EXACT));
        if let Some((since, _)) = unchanged.last() {
            stamp(&mut metadata, since);
        }
        (String::from_utf8_lossy(&member.key).into_owned(), Value::Object(metadata))
    };
    object.sorted().map(of_member).collect()
}

fn stamp(metadata: &mut Map<String, Value>, version: &Read<'_>) {
    metadata.insert("$lastUpdated".into(), clock::rfc3339(version.time_ms).into());
    metadata.insert("$lastUpdatedVersion".into(), version.number.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(document: &Members) -> Value {
        serde_json::to_value(document).unwrap()
    }

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
        let document = value(&with_metadata(versions));
        assert_eq!(document["$version"], 4);
        assert_eq!(document["b"], json!({"c": 2, "d": 3}));
        let metadata = &document["$metadata"];
        for (pointer, version) in [("", 4), ("/a", 3), ("/b", 4), ("/b/c", 4), ("/b/d", 2)] {
            let found = metadata.pointer(pointer).unwrap();
            assert_eq!(found["$lastUpdatedVersion"], version, "{pointer}");
            let time = format!("1970-01-01T00:00:0{version}.000Z");
            assert_eq!(found["$lastUpdated"], time, "{pointer}");
        }
        let empty = value(&with_metadata(std::iter::empty()));
        assert_eq!(empty, json!({"$version": 0, "$metadata": {"$lastUpdated": NEVER}}));
        assert_eq!(without_metadata(None), json!({"$version": 0}));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let version = |number, text: &'static str| Version { number, time_ms: 0, payload: text.as_bytes() };
        let newest = r#"{"e":1e400,"n":12345678901234567890123,"z":1.50}"#;
        let document = with_metadata(
            [version(2, newest), version(1, r#"{"e":1e401,"n":12345678901234567890124,"z":1.5}"#)].into_iter(),
        );
        let kept = ["e", "n", "z"].map(|name| document.get(name).unwrap().get());
        assert_eq!(kept, ["1e400", "12345678901234567890123", "1.50"]);
        let metadata: Value = serde_json::from_str(document.get("$metadata").unwrap().get()).unwrap();
        assert_eq!(["e", "n", "z"].map(|name| metadata[name]["$lastUpdatedVersion"].clone()), [2, 2, 1]);
        let shown = without_metadata(Some(version(2, newest)));
        assert_eq!((shown["e"].as_f64(), shown["z"].as_f64()), (Some(f64::MAX), Some(1.5)));
    }
}
