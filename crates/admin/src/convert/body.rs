//! Reads a call's JSON body, and says what is wrong with it as Google's APIs do: by the path of the field.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::error::Error;

/// An empty body counts as `{}`.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|e| problem(&e.path().to_string(), e.inner()))?;
    json.end().map_err(|e| problem(".", &e))?;
    Ok(read)
}

fn problem(path: &str, error: &serde_json::Error) -> Error {
    let text = switchbox_rules::json::explain(error);
    let path = if path == "." || path == "?" { "" } else { path };
    let unknown = text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((name, known)) = unknown else {
        let text = match path {
            "" => format!("Invalid JSON payload received. {text}"),
            path => format!("Invalid value at '{path}': {text}"),
        };
        return Error::invalid(text).of_field(path);
    };
    // The path ends with the unknown name itself.
    let parent = path.strip_suffix(name).map_or(path, |parent| parent.trim_end_matches('.'));
    let at = if parent.is_empty() { String::new() } else { format!(" at '{parent}'") };
    let known = known.split(" at line ").next().unwrap_or_default().trim_start_matches([',', ' ']);
    let text = format!("Invalid JSON payload received. Unknown name \"{name}\"{at}: Cannot find field; {known}");
    Error::invalid(text.trim_end_matches("; ")).of_field(path)
}

/// In protobuf's JSON, null stands for a field's default.
pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default, deserialize_with = "null_is_default")]
        on: bool,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
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
            (r#"{"colour": 1}"#, "colour", "Unknown name \"colour\": Cannot find field; expected `on` or `inner`"),
            (r#"{"inner": [{"size": 1, "big": 2}]}"#, "inner[0].big", "Unknown name \"big\" at 'inner[0]'"),
            (
                r#"{"inner": [{"size": "1"}]}"#,
                "inner[0].size",
                "Invalid value at 'inner[0].size': invalid type: string",
            ),
            (r#"{"on": }"#, "on", "line 1 column 8"),
            ("{} x", "", "trailing characters"),
        ] {
            let error = read::<Outer>(text.as_bytes()).unwrap_err();
            assert!(error.text.contains(part), "{text}: {error}");
            assert_eq!(error.field.as_deref().unwrap_or_default(), field, "{text}");
        }
    }
}
