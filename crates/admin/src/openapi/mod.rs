//! `/openapi.json`: the API as a document, made from the table of calls that the router is made from.

#[cfg(any(test, feature = "testing"))]
pub(crate) mod conformance;
#[cfg(test)]
mod tests;

use axum::{Extension, body::Bytes, http::header, response::IntoResponse};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::routes::call::{Call, Shape, Type};
use switchbox_admin_api::{ErrorResponse, Scope, schema};

const ETAG: &str = "The revision of what is shown: another one after each change of what operators say of it (not after \
    what it does itself), and never given twice";
const IF_MATCH: &str = "Changes only what has this ETag; without it or with *, whatever there is. Where it is another one by \
    now, nothing is changed, and the answer is 412 with the status ABORTED";

/// The document's text, written once, as anyone may request it any number of times.
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
    let (mut paths, mut types) = (Map::new(), schema::generator());
    for call in calls {
        // In the document, a wildcard for the rest of a path is an ordinary parameter.
        let path = call.path.replace("{*", "{");
        let path = format!("{path}{}", call.verb.map_or(String::new(), |verb| format!(":{verb}")));
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(call.method.as_str().to_lowercase(), operation(call, &mut types));
        }
    }
    let error = body(Shape::Json(Type::of::<ErrorResponse>()), &mut types);
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
            "schemas": types.take_definitions(true),
            "responses": {"Error": {"description": "Why the call was refused", "content": error}},
        },
    })
}

fn operation(call: &Call, types: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "summary": call.says,
        "operationId": operation_id(call),
        "x-switchbox-scope": call.scope.name(),
        "parameters": parameters(call),
        "responses": {"200": answer(call, types), "default": {"$ref": "#/components/responses/Error"}},
    });
    let Some(fields) = operation.as_object_mut() else { return operation };
    match call.scope {
        Scope::Open => drop(fields.insert("security".into(), json!([]))),
        Scope::Device => drop(fields.insert("security".into(), json!([{"device": []}]))),
        _ => {}
    }
    if let Some(takes) = call.takes {
        let description = format!("At most {} bytes", call.body_bytes);
        fields.insert("requestBody".into(), json!({"description": description, "content": body(takes, types)}));
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

fn answer(call: &Call, types: &mut SchemaGenerator) -> Value {
    let mut answer = json!({"description": "Done", "content": body(call.answers, types)});
    if let (true, Some(fields)) = (has_etag(call), answer.as_object_mut()) {
        let etag = json!({"schema": {"type": "string"}, "description": ETAG});
        fields.insert("headers".into(), json!({ "ETag": etag }));
    }
    answer
}

/// Its answer has an ETag with which the object can be changed.
fn has_etag(call: &Call) -> bool {
    let is_one = |name: &str| ["Device", "DeviceRegistry", "ServiceAccount"].contains(&name);
    matches!(call.answers, Shape::Json(answer) if is_one(&(answer.name)()))
}

fn body(shape: Shape, types: &mut SchemaGenerator) -> Value {
    match shape {
        Shape::Json(body) => json!({"application/json": {"schema": (body.schema)(types)}}),
        Shape::Events(item) => json!({"text/event-stream": {"schema": (item.schema)(types)}}),
        Shape::Any => json!({"application/json": {"schema": {}}}),
        Shape::Other(types) => types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect::<Map<_, _>>().into(),
    }
}
