//! JSON merge patch (RFC 7396) on desired.

use serde_json::Value;

use super::{Object, object};
use crate::model::limits::CONFIG_BYTES;

/// Why a patch is not taken; the texts say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("a patch must be a JSON object, such as {{\"on\": true}}: {0}")]
    Patch(String),
    #[error("desired cannot be patched, for it is no JSON object ({0}): set a whole config first")]
    Desired(String),
    #[error("desired would have {bytes} bytes with this patch, at most {CONFIG_BYTES} are allowed")]
    TooLarge { bytes: usize },
}

/// Desired after the patch.
pub fn patched(desired: &[u8], patch: &[u8]) -> Result<Vec<u8>, Problem> {
    if patch.trim_ascii().is_empty() {
        return Err(Problem::Patch("it is empty".into()));
    }
    let patch = object(patch).map_err(Problem::Patch)?;
    let mut desired = object(desired).map_err(Problem::Desired)?;
    merge(&mut desired, patch);
    let merged = serde_json::to_vec(&desired).map_err(|e| Problem::Patch(e.to_string()))?;
    if merged.len() > CONFIG_BYTES {
        return Err(Problem::TooLarge { bytes: merged.len() });
    }
    Ok(merged)
}

fn merge(target: &mut Object, patch: Object) {
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.remove(&key)),
            Value::Object(patch) => {
                let entry = target.entry(key).or_insert(Value::Null);
                // What is no object is replaced by one, in which the patch's nulls leave nothing behind.
                if !entry.is_object() {
                    *entry = Value::Object(Object::new());
                }
                if let Value::Object(target) = entry {
                    merge(target, patch);
                }
            }
            value => drop(target.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7396, appendix A, whose target and patch are objects, and what the RFC says in words.
    #[test]
    fn a_merge_patch_does_what_the_rfc_says() {
        for (desired, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            (r#"{"a":"foo"}"#, r#"{"a":{"b":null,"c":1}}"#, r#"{"a":{"c":1}}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            ("", r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
        ] {
            let merged = patched(desired.as_bytes(), patch.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(merged).unwrap(), expected, "{desired} + {patch}");
        }
    }

    #[test]
    fn what_cannot_be_patched_is_refused_with_what_to_do() {
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(CONFIG_BYTES));
        for (desired, patch, part) in [
            ("{}", "3", "must be a JSON object"),
            ("{}", "null", "must be a JSON object"),
            ("{}", "", "it is empty"),
            ("{}", "{\"a\":", "no JSON"),
            ("on", r#"{"a":1}"#, "set a whole config first"),
            ("[1]", r#"{"a":1}"#, "JSON array"),
            ("{}", large.as_str(), "at most 65536"),
        ] {
            let problem = patched(desired.as_bytes(), patch.as_bytes()).unwrap_err().to_string();
            assert!(problem.contains(part), "{desired} + {patch:.20}: {problem}");
        }
    }
}
