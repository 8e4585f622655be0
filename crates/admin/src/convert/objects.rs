//! Reads objects by the schemas of the API's document. Both spellings of a field are accepted, unknown fields are refused by
//! name, fields may be in the query as Google's APIs allow
//! (`…:modifyCloudToDeviceConfig?versionToUpdate=0&binaryData=…`), and enums can be written as numbers.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::mask::camel;
use crate::error::Error;
use switchbox_admin_api::schema;

type Fields = Map<String, Value>;

/// The schemas of a type and of all types that it contains.
pub(crate) struct Objects {
    root: Value,
    /// The fields by their names.
    all: Fields,
}

impl Objects {
    /// Created once for each type.
    pub(crate) fn of<T: JsonSchema + 'static>() -> Arc<Self> {
        static MADE: LazyLock<Mutex<HashMap<TypeId, Arc<Objects>>>> = LazyLock::new(Mutex::default);
        let make = || {
            let mut generator = schema::generator();
            let root = generator.subschema_for::<T>().to_value();
            Arc::new(Self { root, all: generator.take_definitions(true) })
        };
        MADE.lock().entry(TypeId::of::<T>()).or_insert_with(make).clone()
    }

    /// Resolves a reference to another schema.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema.get("$ref").and_then(|name| name.as_str()?.rsplit('/').next());
        name.and_then(|name| self.all.get(name)).unwrap_or(schema)
    }

    fn fields<'a>(&'a self, schema: &'a Value) -> Option<&'a Fields> {
        self.resolve(schema).get("properties")?.as_object()
    }

    /// Whether the type has such a field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields(&self.root).is_some_and(|fields| fields.contains_key(field))
    }

    /// Returns the value with the field names of the types. Refuses other fields, and duplicate fields.
    pub(crate) fn canonical(&self, read: Value) -> Result<Value, Error> {
        self.named(&self.root, read, "")
    }

    fn named(&self, schema: &Value, read: Value, path: &str) -> Result<Value, Error> {
        let schema = self.resolve(schema);
        match read {
            Value::Object(read) => {
                let Some(fields) = self.fields(schema) else { return Ok(Value::Object(read)) };
                let mut named = Map::new();
                for (name, value) in read {
                    let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    let field = camel(&name);
                    let inner = fields.get(&field).ok_or_else(|| unknown(&name, path, &at, fields))?;
                    // In protobuf's JSON, null means a field's default.
                    if value.is_null() {
                        continue;
                    }
                    if named.insert(field, self.named(inner, value, &at)?).is_some() {
                        return Err(twice(&at, "in both spellings"));
                    }
                }
                Ok(Value::Object(named))
            }
            Value::Array(items) if self.fields(schema).is_none() => {
                let Some(inner) = schema.get("items") else { return Ok(Value::Array(items)) };
                let items = items.into_iter().enumerate();
                items.map(|(index, item)| self.named(inner, item, &format!("{path}[{index}]"))).collect()
            }
            other if self.fields(schema).is_some() => Err(no_object(path, &other)),
            other => Ok(other),
        }
    }

    /// Inserts the value at the path.
    pub(crate) fn put(&self, into: &mut Fields, path: &str, value: &str) -> Result<(), Error> {
        self.put_in(&self.root, into, path, path, value)
    }

    /// `whole` is the path as the caller wrote it.
    fn put_in(&self, schema: &Value, into: &mut Fields, path: &str, whole: &str, value: &str) -> Result<(), Error> {
        let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
        let wrong = |text: &str| Error::invalid(format!("Invalid value at '{whole}': {text}")).of_field(whole);
        let no_such = || wrong("there is no such field");
        let inner = self.fields(schema).and_then(|fields| fields.get(head)).ok_or_else(no_such)?;
        let inner = self.resolve(inner);
        match (rest, kind(inner)) {
            (Some(rest), "object") => {
                let next = into.entry(head).or_insert_with(|| Value::Object(Map::new()));
                let next = next.as_object_mut().ok_or_else(no_such)?;
                if self.fields(inner).is_some() {
                    return self.put_in(inner, next, rest, whole, value);
                }
                next.insert(rest.to_owned(), value.into());
                Ok(())
            }
            (None, "array") if inner.get("items").is_some_and(|items| kind(items) == "string") => {
                let next = into.entry(head).or_insert_with(|| Value::Array(Vec::new()));
                next.as_array_mut().ok_or_else(no_such)?.push(value.into());
                Ok(())
            }
            (None, _) if into.contains_key(head) => Err(twice(whole, "in the query, or there and in the body")),
            (None, kind) => {
                let value = match kind {
                    "boolean" => match value {
                        "true" | "1" => true.into(),
                        "false" | "0" => false.into(),
                        _ => return Err(wrong("it must be true or false")),
                    },
                    "integer" => value.parse::<u64>().map_err(|_| wrong("it must be a number"))?.into(),
                    // A plus sign that was not escaped is a space in a query.
                    "string" if inner.get("contentEncoding").is_some() => value.replace(' ', "+").into(),
                    "string" => value.into(),
                    _ if inner.get("anyOf").is_some() => value.into(),
                    _ => return Err(wrong("it can only be in the body")),
                };
                into.insert(head.to_owned(), value);
                Ok(())
            }
            (Some(_), _) => Err(no_such()),
        }
    }

    /// Writes enums as their numbers.
    pub(crate) fn number(&self, shown: &mut Value) {
        self.numbered(&self.root, shown);
    }

    fn numbered(&self, schema: &Value, shown: &mut Value) {
        let schema = self.resolve(schema);
        match shown {
            Value::String(name) => {
                let cases = |place: &str| schema.pointer(place).and_then(Value::as_array);
                let (Some(names), Some(numbers)) = (cases("/anyOf/0/enum"), cases("/anyOf/1/enum")) else { return };
                let index = names.iter().position(|case| case == name.as_str());
                if let Some(number) = index.and_then(|index| numbers.get(index)) {
                    *shown = number.clone();
                }
            }
            Value::Array(items) => {
                let Some(inner) = schema.get("items") else { return };
                items.iter_mut().for_each(|item| self.numbered(inner, item));
            }
            Value::Object(shown) => {
                let Some(fields) = self.fields(schema) else { return };
                for (name, value) in shown {
                    fields.get(name).into_iter().for_each(|inner| self.numbered(inner, value));
                }
            }
            _ => {}
        }
    }
}

fn kind(schema: &Value) -> &str {
    schema.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn no_object(at: &str, found: &Value) -> Error {
    let kind = match found {
        Value::Array(_) => "a list",
        Value::String(_) => "a text",
        Value::Bool(_) => "a boolean",
        _ => "a number",
    };
    match at {
        "" => Error::invalid(format!("Invalid JSON payload received. It must be an object, not {kind}")),
        at => Error::invalid(format!("Invalid value at '{at}': it must be an object, not {kind}")).of_field(at),
    }
}

fn twice(at: &str, where_: &str) -> Error {
    Error::invalid(format!("'{at}' is given twice: {where_}")).of_field(at)
}

fn unknown(name: &str, parent: &str, at: &str, known: &Fields) -> Error {
    let parent = if parent.is_empty() { String::new() } else { format!(" at '{parent}'") };
    let known: Vec<_> = known.keys().map(|name| format!("`{name}`")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let text =
        format!("Invalid JSON payload received. Unknown name \"{name}\"{parent}: Cannot find field; expected {known}");
    Error::invalid(text).of_field(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use switchbox_admin_api::{Device, DeviceRegistry, ModifyCloudToDeviceConfigRequest};

    fn put<T: JsonSchema + 'static>(body: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let mut read = serde_json::from_str(body).unwrap();
        let objects = Objects::of::<T>();
        query.iter().try_for_each(|(name, value)| objects.put(&mut read, name, value)).map_err(|error| error.text)?;
        Ok(Value::Object(read))
    }

    #[test]
    fn fields_of_the_body_may_stand_in_the_query() {
        assert_eq!(
            put::<ModifyCloudToDeviceConfigRequest>("{}", &[("versionToUpdate", "0"), ("binaryData", "eA =")]),
            Ok(json!({"versionToUpdate": "0", "binaryData": "eA+="}))
        );
        assert_eq!(put::<Device>(r#"{"id": "a"}"#, &[("blocked", "true")]), Ok(json!({"id": "a", "blocked": true})));
        let gateway = [("gatewayConfig.gatewayType", "GATEWAY"), ("gatewayConfig.gatewayAuthMethod", "1")];
        assert_eq!(
            put::<Device>("{}", &[gateway[0], gateway[1], ("metadata.a", "b")]),
            Ok(json!({"gatewayConfig": {"gatewayType": "GATEWAY", "gatewayAuthMethod": "1"}, "metadata": {"a": "b"}}))
        );
    }

    #[test]
    fn what_cannot_stand_in_the_query_is_named() {
        for (body, query, part) in [
            (r#"{"id": "a"}"#, ("id", "b"), "'id' is given twice"),
            ("{}", ("blocked", "maybe"), "'blocked': it must be true or false"),
            ("{}", ("credentials", "x"), "'credentials': it can only be in the body"),
            ("{}", ("id.x", "x"), "there is no such field"),
            ("{}", ("gatewayConfig.colour", "x"), "'gatewayConfig.colour': there is no such field"),
        ] {
            let error = put::<Device>(body, &[query]).unwrap_err();
            assert!(error.contains(part), "{query:?}: {error}");
        }
    }

    #[test]
    fn both_spellings_are_taken_and_what_is_unknown_is_refused_by_its_place() {
        let read = |body: Value| Objects::of::<Device>().canonical(body);
        let written = json!({"log_level": 30, "metadata": {"my_room": "hall", "b": null}, "credentials": null});
        assert_eq!(read(written).unwrap(), json!({"logLevel": 30, "metadata": {"my_room": "hall", "b": null}}));
        let error = read(json!({"credentials": [{"publicKey": {"colour": 1}}]})).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("credentials[0].publicKey.colour"));
        assert!(
            error
                .text
                .ends_with("\"colour\" at 'credentials[0].publicKey': Cannot find field; expected `format`, `key`")
        );
        let error = read(json!({"config": []})).unwrap_err();
        assert_eq!(error.text, "Invalid value at 'config': it must be an object, not a list");
        let error = read(json!({"log_level": 30, "logLevel": 30})).unwrap_err();
        assert!(error.text.contains("is given twice: in both spellings"), "{error}");
    }

    #[test]
    fn enums_can_be_numbers() {
        let mut shown =
            json!({"logLevel": "INFO", "httpConfig": {"httpEnabledState": "HTTP_DISABLED"}, "name": "INFO"});
        Objects::of::<DeviceRegistry>().number(&mut shown);
        assert_eq!(shown, json!({"logLevel": 30, "httpConfig": {"httpEnabledState": 2}, "name": "INFO"}));
    }
}
