//! Reads a call's JSON body. Errors name the path of the field, as in Google's APIs.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::objects::Objects;
use crate::error::Error;

#[cfg(any(test, fuzzing))]
pub(crate) fn read<T: DeserializeOwned + JsonSchema + 'static>(body: &[u8]) -> Result<T, Error> {
    read_with(body, &[])
}

/// An empty body counts as `{}`. `query`: fields from the query, by their paths.
pub(crate) fn read_with<T: DeserializeOwned + JsonSchema + 'static>(
    body: &[u8],
    query: &[(String, String)],
) -> Result<T, Error> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let objects = Objects::of::<T>();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read: UniqueFields = located(&mut json)?;
    json.end().map_err(|e| problem(".", &e))?;
    let mut read = objects.canonical(read.0)?;
    for (path, value) in query {
        let fields = read.as_object_mut().ok_or_else(|| Error::invalid("Invalid JSON payload received: no object"))?;
        objects.put(fields, path, value)?;
    }
    located(read)
}

/// Reads a part of the body; errors get this path as prefix.
fn located<'de, T: Deserialize<'de>>(json: impl Deserializer<'de, Error = serde_json::Error>) -> Result<T, Error> {
    serde_path_to_error::deserialize(json).map_err(|e| problem(&e.path().to_string(), e.inner()))
}

fn problem(path: &str, error: &serde_json::Error) -> Error {
    let text = switchbox_rules::json::explain(error);
    match path {
        "." | "?" => Error::invalid(format!("Invalid JSON payload received. {text}")),
        path => Error::invalid(format!("Invalid value at '{path}': {text}")).of_field(path),
    }
}

/// JSON without duplicate fields.
struct UniqueFields(Value);

impl<'de> Deserialize<'de> for UniqueFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(UniqueFields(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let UniqueFields(value) = fields.next_value()?;
            if all.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq, JsonSchema)]
    #[serde(default)]
    struct Outer {
        on: bool,
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq, JsonSchema)]
    struct Inner {
        size: u8,
    }

    #[test]
    fn nothing_and_null_are_the_default() {
        for text in ["", " \n", "{}", r#"{"on": null}"#] {
            assert_eq!(read::<Outer>(text.as_bytes()).unwrap(), Outer::default(), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_with_its_place() {
        for (text, field, part) in [
            (r#"{"colour": 1}"#, "colour", "Unknown name \"colour\": Cannot find field; expected `inner`, `on`"),
            (r#"{"inner": [{"size": 1, "big": 2}]}"#, "inner[0].big", "Unknown name \"big\" at 'inner[0]'"),
            (
                r#"{"inner": [{"size": "1"}]}"#,
                "inner[0].size",
                "Invalid value at 'inner[0].size': invalid type: string",
            ),
            (r#"{"inner": [{"size": 300}]}"#, "inner[0].size", "invalid value: integer `300`"),
            (r#"{"on": }"#, "on", "line 1 column 8"),
            ("{} x", "", "trailing characters"),
            ("[]", "", "must be an object, not a list"),
            (r#"{"on": true, "on": false}"#, "", "duplicate field `on`"),
        ] {
            let error = read::<Outer>(text.as_bytes()).unwrap_err();
            assert!(error.text.contains(part), "{text}: {error}");
            assert_eq!(error.field.as_deref().unwrap_or_default(), field, "{text}");
        }
        assert!(read_with::<Outer>(b"[]", &[("on".into(), "true".into())]).is_err());
        assert!(read_with::<Outer>(b"", &[("on".into(), "true".into())]).unwrap().on);
    }
}
