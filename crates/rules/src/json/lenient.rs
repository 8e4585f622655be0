//! For code that uses `serde_json`: its values, and its errors in plain words.

use crate::json::{Kind, value::Value};

/// The value as `serde_json` has it, whatever it is: a number that fits into no machine type becomes the nearest that does
/// (1e400 the largest `f64`), a lone surrogate becomes U+FFFD. What only moves bytes from one place to another should use
/// the text instead.
#[must_use]
pub fn to_serde(value: &Value<'_>) -> serde_json::Value {
    match &value.kind {
        Kind::Null => serde_json::Value::Null,
        Kind::Bool(bool) => (*bool).into(),
        Kind::Number => number(value.text),
        Kind::String(text) => String::from_utf8_lossy(text).into(),
        Kind::Array(items) => items.iter().map(to_serde).collect(),
        Kind::Object(object) => {
            let member = |member: &crate::json::Member<'_>| {
                (String::from_utf8_lossy(&member.key).into_owned(), to_serde(&member.value))
            };
            serde_json::Value::Object(object.members().iter().map(member).collect())
        }
    }
}

fn number(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| {
        let nearest = text.parse::<f64>().unwrap_or(0.0).clamp(f64::MIN, f64::MAX);
        nearest.into()
    })
}

/// The error of `serde_json` in words that do not present its own limits as errors of the text.
#[must_use]
pub fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let at = text.rfind(" at line ").and_then(|at| text.get(at..)).unwrap_or_default();
    if text.starts_with("recursion limit exceeded") {
        return format!("it is nested deeper than 127 levels{at}");
    }
    if text.starts_with("number out of range") {
        return format!("a number is larger than 64-bit floating point can hold{at}");
    }
    text
}
