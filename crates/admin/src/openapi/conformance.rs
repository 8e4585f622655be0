//! Compares answers with the document, for tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "only tests use this module")]

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::document;
use crate::routes::calls;

pub(super) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(&calls()));

/// The operations of the document: method, path, and description.
pub(super) fn operations() -> Vec<(String, String, Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(|(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
    });
    all.collect()
}

pub(super) fn schema<'a>(operation: &'a Value, part: &str) -> Option<&'a str> {
    let name = operation.pointer(&format!("{part}/content/application~1json/schema/$ref"))?.as_str()?;
    name.strip_prefix("#/components/schemas/")
}

/// The differences of an answer from the document: unknown fields, or fields of another type.
pub(crate) fn problem(method: &str, path: &str, answer: &Value) -> Option<String> {
    let path = path.split('?').next().unwrap_or_default();
    let found = operations().into_iter().find(|(m, pattern, _)| m == method && fits(pattern, path));
    let (_, pattern, operation) = found.or_else(|| panic!("{method} {path} is not in the document"))?;
    let name = schema(&operation, "/responses/200")?;
    let problem = mismatch(&json!({"$ref": format!("#/components/schemas/{name}")}), answer)?;
    Some(format!("{method} {pattern} answers {name}: {problem}; its type in crates/admin-api says what it has"))
}

/// The differences of the answer of a refused call from the document.
pub(crate) fn problem_of_refusal(answer: &Value) -> Option<String> {
    mismatch(&json!({"$ref": "#/components/schemas/Error"}), answer)
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    let one = |pattern: &str, word: &str| match pattern.split_once('}') {
        None => pattern == word,
        Some((_, "")) => true,
        Some((_, verb)) => word.ends_with(verb),
    };
    let rest = pattern.contains(&"explain") && path.len() >= pattern.len();
    (pattern.len() == path.len() || rest) && pattern.iter().zip(&path).all(|(pattern, word)| one(pattern, word))
}

fn mismatch(schema: &Value, value: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let named = DOCUMENT.pointer(name.trim_start_matches('#')).unwrap();
        return mismatch(named, value).map(|problem| format!("{name}: {problem}"));
    }
    if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let fits = choices.iter().any(|choice| mismatch(choice, value).is_none());
        return (!fits).then(|| format!("{value} is none of {schema}"));
    }
    let right = match schema["type"].as_str() {
        None => true,
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some(_) => value.is_object(),
    };
    if !right {
        return Some(format!("{value} is no {}", schema["type"]));
    }
    if let Some(names) = schema["enum"].as_array().filter(|names| !names.contains(value)) {
        return Some(format!("{value} is none of {names:?}"));
    }
    if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
        let missing = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|name| value.get(name.as_str().unwrap()).is_none());
        if let Some(name) = missing {
            return Some(format!("the field {name} is missing"));
        }
        return fields.iter().find_map(|(name, value)| match properties.get(name) {
            None => Some(format!("the field {name:?} is not in it")),
            Some(schema) => mismatch(schema, value).map(|problem| format!("{name}: {problem}")),
        });
    }
    value.as_array()?.iter().find_map(|item| mismatch(&schema["items"], item))
}
