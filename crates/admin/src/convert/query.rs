//! Fields of a request that stand in its query string instead of its body, as Google's APIs allow:
//! `…:modifyCloudToDeviceConfig?versionToUpdate=0&binaryData=…`. Which fields a call has, and what stands in each, says the table
//! that the API's document is made from.

use serde_json::{Map, Value};

use super::{mask::camel, read};
use crate::{
    error::Error,
    openapi::shapes::{Kind as Field, fields},
};

/// Fields that must not stand in a URL, which programs on the way write down.
const SECRETS: [&str; 2] = ["password", "symmetricKeys"];

/// The body of a call, and the parameters that are no part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyShape {
    /// Its name in the table.
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [&'static str],
}

impl BodyShape {
    fn has(self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        let known = fields(self.name).is_some_and(|fields| fields.iter().any(|(field, _)| *field == first));
        known && !SECRETS.contains(&first) && !self.parameters.contains(&first)
    }

    /// The query's own parameters. The others are fields of the body, which their own limits bound.
    pub(crate) fn parameters(self, pairs: Vec<(String, String)>) -> Vec<(String, String)> {
        pairs.into_iter().filter(|(name, _)| !self.has(&camel(name))).collect()
    }

    /// The body with the fields that stand in the query.
    pub(crate) fn body(self, body: &[u8], pairs: Vec<(String, String)>) -> Result<Vec<u8>, Error> {
        let pairs = pairs.into_iter().map(|(name, value)| (camel(&name), value));
        let pairs: Vec<_> = pairs.filter(|(name, _)| self.has(name)).collect();
        if pairs.is_empty() {
            return Ok(body.to_vec());
        }
        let mut merged: Map<String, Value> = read(body)?;
        for (name, value) in pairs {
            put(&mut merged, self.name, &name, &name, &value)?;
        }
        Ok(Value::Object(merged).to_string().into_bytes())
    }
}

/// Puts the value where the path leads, from an object of this shape. `whole` is the name as the caller wrote it.
fn put(into: &mut Map<String, Value>, shape: &str, path: &str, whole: &str, value: &str) -> Result<(), Error> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let kind = fields(shape).and_then(|fields| fields.iter().find(|(field, _)| *field == head)).map(|(_, kind)| *kind);
    let no_such = || Error::invalid(format!("Invalid value at '{whole}': there is no such field")).of_field(whole);
    match (kind.ok_or_else(no_such)?, rest) {
        (Field::One(inner), Some(rest)) => {
            let next = into.entry(head).or_insert_with(|| Value::Object(Map::new()));
            put(next.as_object_mut().ok_or_else(no_such)?, inner, rest, whole, value)
        }
        (Field::Texts, Some(key)) => {
            let next = into.entry(head).or_insert_with(|| Value::Object(Map::new()));
            next.as_object_mut().ok_or_else(no_such)?.insert(key.to_owned(), value.into());
            Ok(())
        }
        (Field::ManyTexts, None) => {
            let next = into.entry(head).or_insert_with(|| Value::Array(Vec::new()));
            next.as_array_mut().ok_or_else(no_such)?.push(value.into());
            Ok(())
        }
        (kind, None) => {
            if into.contains_key(head) {
                let text = format!("'{whole}' is given twice: in the query, or there and in the body");
                return Err(Error::invalid(text).of_field(whole));
            }
            into.insert(head.to_owned(), scalar(kind, whole, value)?);
            Ok(())
        }
        _ => Err(no_such()),
    }
}

fn scalar(kind: Field, whole: &str, value: &str) -> Result<Value, Error> {
    let wrong = |wanted: &str| Error::invalid(format!("Invalid value at '{whole}': {wanted}")).of_field(whole);
    match kind {
        Field::Flag => match value {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => Err(wrong("it must be true or false")),
        },
        Field::Number => value.parse::<f64>().map(Value::from).map_err(|_| wrong("it must be a number")),
        // A plus sign that was not escaped is a space in a query.
        Field::Bytes => Ok(value.replace(' ', "+").into()),
        Field::Text | Field::Int64 | Field::Time | Field::Span | Field::Enum(_) => Ok(value.into()),
        _ => Err(wrong("it can only stand in the body")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(name: &'static str, body: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let shape = BodyShape { name, parameters: &["updateMask"] };
        let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let bytes = shape.body(body.as_bytes(), pairs).map_err(|error| error.text)?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    #[test]
    fn fields_of_the_body_may_stand_in_the_query() {
        for (shape, body, query, expect) in [
            (
                "ModifyCloudToDeviceConfigRequest",
                "",
                &[("versionToUpdate", "0"), ("binary_data", "eA =")][..],
                json!({"versionToUpdate": "0", "binaryData": "eA+="}),
            ),
            (
                "Device",
                r#"{"id": "a"}"#,
                &[("blocked", "true"), ("updateMask", "x")],
                json!({"id": "a", "blocked": true}),
            ),
            (
                "Device",
                "{}",
                &[
                    ("gatewayConfig.gatewayType", "GATEWAY"),
                    ("gateway_config.gateway_auth_method", "1"),
                    ("metadata.a", "b"),
                ],
                json!({"gatewayConfig": {"gatewayType": "GATEWAY", "gatewayAuthMethod": "1"}, "metadata": {"a": "b"}}),
            ),
            ("Device", "{}", &[("alt", "json")], json!({})),
        ] {
            assert_eq!(merged(shape, body, query), Ok(expect), "{shape} {query:?}");
        }
    }

    #[test]
    fn what_cannot_stand_in_the_query_is_named() {
        for (shape, body, query, part) in [
            ("Device", r#"{"id": "a"}"#, ("id", "b"), "'id' is given twice"),
            ("Device", "{}", ("blocked", "maybe"), "'blocked': it must be true or false"),
            ("Device", "{}", ("credentials", "x"), "'credentials': it can only stand in the body"),
            ("Device", "{}", ("id.x", "x"), "there is no such field"),
            ("Device", "{}", ("gatewayConfig.colour", "x"), "'gatewayConfig.colour': there is no such field"),
            ("Device", "[]", ("id", "x"), "Invalid JSON payload"),
        ] {
            let error = merged(shape, body, &[query]).unwrap_err();
            assert!(error.contains(part), "{query:?}: {error}");
        }
        assert!(!BodyShape { name: "SetPasswordRequest", parameters: &[] }.has("password"));
    }
}
