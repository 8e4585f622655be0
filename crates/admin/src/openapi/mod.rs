//! `/openapi.json`: the API as a document, made from the table of calls that the router is made from.

#[cfg(any(test, feature = "testing"))]
pub(crate) mod conformance;
pub(super) mod shapes;
#[cfg(test)]
mod tests;

use axum::{Extension, body::Bytes, http::header, response::IntoResponse};
use serde_json::{Map, Value, json};

use super::{
    error::Kind,
    routes::call::{Call, Shape},
    scope::Scope,
};
use shapes::{Kind as Field, SHAPES};

const ETAG: &str = "The revision of what is shown: another one after each change of what operators say of it (not after \
    what it does itself), and never given twice";
const IF_MATCH: &str = "Changes only what has this ETag; without it or with *, whatever there is. Where it is another one by \
    now, nothing is changed, and the answer is 412 with the status ABORTED";

/// The document's text, written once, as everybody may ask for it without end.
#[derive(Debug, Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn of(calls: &[Call]) -> Self {
        Self(document(calls).to_string().into())
    }
}

pub(super) async fn show(Extension(Document(text)): Extension<Document>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text)
}

fn document(calls: &[Call]) -> Value {
    let mut paths = Map::new();
    for call in calls {
        // What takes the rest of a path is to the document a parameter as any other.
        let path = call.path.replace("{*", "{");
        let path = format!("{path}{}", call.verb.map_or(String::new(), |verb| format!(":{verb}")));
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(call.method.as_str().to_lowercase(), operation(call));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchbox",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Devices are managed with the names, verbs and JSON of Google Cloud IoT Core's REST API. Bytes are \
                base64, 64-bit integers texts, enums names or numbers (numbers in answers to calls with \
                $alt=json;enum-encoding=int). Field names are taken as camelCase and as snake_case.",
        },
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer",
                    "description": "The host's own stands in admin-token in its data folder; `switchbox token create` makes others."},
                "device": {"type": "http", "scheme": "bearer",
                    "description": "A token (JWT) that one of the device's keys signs, or its password."},
            },
            "schemas": schemas(),
            "responses": {"Error": {"description": "Why the call was refused", "content": content("Error")}},
        },
    })
}

fn operation(call: &Call) -> Value {
    let mut operation = json!({
        "summary": call.says,
        "operationId": operation_id(call),
        "x-switchbox-scope": call.scope.name(),
        "parameters": parameters(call),
        "responses": {"200": answer(call), "default": {"$ref": "#/components/responses/Error"}},
    });
    let Some(fields) = operation.as_object_mut() else { return operation };
    match call.scope {
        Scope::Open => drop(fields.insert("security".into(), json!([]))),
        Scope::Device => drop(fields.insert("security".into(), json!([{"device": []}]))),
        _ => {}
    }
    if let Some(takes) = call.takes {
        let description = format!("At most {} bytes", call.body_bytes);
        fields.insert("requestBody".into(), json!({"description": description, "content": body(takes)}));
    }
    operation
}

/// The method and the path's words: `get.registries.devices.configVersions`.
fn operation_id(call: &Call) -> String {
    let words = call.path.split('/').filter(|word| !word.is_empty() && !["v1", "projects", "locations"].contains(word));
    let words: Vec<_> = words.map(|word| word.trim_matches(['{', '}', '*'])).chain(call.verb).collect();
    format!("{}.{}", call.method.as_str().to_lowercase(), words.join("."))
}

fn parameters(call: &Call) -> Value {
    let in_path = call.path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        json!({"name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": {"type": "string"}})
    });
    let in_query = call.params.iter().map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}));
    let in_header = call
        .takes_if_match
        .then(|| json!({"name": "If-Match", "in": "header", "schema": {"type": "string"}, "description": IF_MATCH}));
    in_path.chain(in_query).chain(in_header).collect()
}

fn answer(call: &Call) -> Value {
    let mut answer = json!({"description": "Done", "content": body(call.answers)});
    if let (true, Some(fields)) = (has_etag(call), answer.as_object_mut()) {
        let etag = json!({"schema": {"type": "string"}, "description": ETAG});
        fields.insert("headers".into(), json!({ "ETag": etag }));
    }
    answer
}

/// It answers with a thing that can be changed by its ETag.
fn has_etag(call: &Call) -> bool {
    matches!(call.answers, Shape::Json("Device" | "DeviceRegistry" | "ServiceAccount"))
}

fn body(shape: Shape) -> Value {
    match shape {
        Shape::Json(name) => content(name),
        Shape::Empty => content("Empty"),
        Shape::Any => json!({"application/json": {"schema": {}}}),
        Shape::Other(types) => types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect::<Map<_, _>>().into(),
    }
}

fn content(name: &str) -> Value {
    json!({"application/json": {"schema": reference(name)}})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn schemas() -> Value {
    let mut schemas = Map::new();
    for shape in SHAPES.iter().copied().flatten() {
        let fields: Map<_, _> = shape.fields.iter().map(|(name, kind)| ((*name).to_owned(), schema(*kind))).collect();
        schemas.insert(shape.name.to_owned(), json!({"type": "object", "properties": fields}));
    }
    schemas.insert("Empty".into(), json!({"type": "object", "maxProperties": 0}));
    schemas.insert("Error".into(), error());
    schemas.into()
}

fn schema(field: Field) -> Value {
    match field {
        Field::Text => json!({"type": "string"}),
        Field::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Field::Int64 => json!({"type": "string", "format": "int64"}),
        Field::Number => json!({"type": "integer"}),
        Field::Flag => json!({"type": "boolean"}),
        Field::Time => json!({"type": "string", "format": "date-time"}),
        Field::Span => json!({"type": "string", "pattern": "^[0-9]+([.][0-9]+)?s$"}),
        Field::Enum(names) => json!({"anyOf": [{"type": "string", "enum": names}, {"type": "integer"}]}),
        Field::Texts => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Field::Any => json!({}),
        Field::One(name) => reference(name),
        Field::Many(name) => json!({"type": "array", "items": reference(name)}),
        Field::ManyTexts => json!({"type": "array", "items": {"type": "string"}}),
    }
}

/// As Google's APIs have it.
fn error() -> Value {
    json!({"type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["code", "message", "status"],
        "properties": {
            "code": {"type": "integer", "description": "The HTTP status"},
            "message": {"type": "string"},
            "status": {"type": "string", "enum": Kind::ALL.map(Kind::word)},
            "details": {"type": "array", "items": {"type": "object"}},
        },
    }}})
}
