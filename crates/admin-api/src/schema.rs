//! JSON schemas of the types, as an OpenAPI document has them.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

/// Where the document has the schemas that others refer to.
pub const SCHEMAS: &str = "/components/schemas";

/// Makes schemas that refer to each other in [`SCHEMAS`].
#[must_use]
pub fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = SCHEMAS.into();
    settings.meta_schema = None;
    settings.with_transform(RecursiveTransform(plain)).into_generator()
}

/// A field that is absent has its default, and null is as good as absent: no schema has to say so.
fn plain(schema: &mut Schema) {
    schema.remove("default");
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
