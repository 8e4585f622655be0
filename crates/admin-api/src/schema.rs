//! JSON schemas of the types, for the OpenAPI document.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

/// The path of the schemas in the document.
pub const SCHEMAS: &str = "/components/schemas";

/// Creates schemas that refer to each other in [`SCHEMAS`].
#[must_use]
pub fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.into();
    settings.meta_schema = None;
    settings.with_transform(RecursiveTransform(plain)).into_generator()
}

/// An absent field has its default, and null counts as absent, so the schemas do not mention it. An item of a list cannot be absent, so
/// there null is one of two choices.
fn plain(schema: &mut Schema) {
    schema.remove("default");
    if let Some(Value::Object(item)) = schema.get_mut("items")
        && let Some(Value::Array(kinds)) = item.get_mut("type")
        && kinds.iter().any(|kind| kind == "null")
    {
        kinds.retain(|kind| kind != "null");
        let value = std::mem::take(item);
        item.insert("oneOf".into(), json!([value, {"type": "null"}]));
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema.insert("type".into(), kind);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (name, value) in only {
            schema.insert(name, value);
        }
    }
}
