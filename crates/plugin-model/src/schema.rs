//! What a component says that its settings may be: read with bounds, and settings checked against it. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::limits::names;
use switchbox_model::limits::SETTINGS_SCHEMA_BYTES;

/// What a field counts for beside its texts, bytes.
const FIELD_BYTES: usize = 64;

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    /// A few words.
    pub title: String,
    /// A sentence, or empty.
    pub help: String,
    pub kind: Kind,
}

/// The values that are allowed; `least` and `most` are inclusive.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The bounds are numbers of characters.
    Text {
        least: u32,
        most: Option<u32>,
    },
    Number {
        least: Option<f64>,
        most: Option<f64>,
        /// It must be an integer.
        whole: bool,
    },
    Flag,
    /// One of these texts.
    Choice(Vec<String>),
}

/// Checks the fields that a component gives: each is one of its default settings, and takes the default.
pub fn read(fields: Vec<Field>, defaults: &str) -> Result<Vec<Field>, String> {
    check_size(&fields)?;
    let defaults: Map<String, Value> =
        serde_json::from_str(defaults).map_err(|_| "default-settings is not a JSON object".to_owned())?;
    let mut seen = BTreeSet::new();
    for field in &fields {
        let Some(default) = defaults.get(&field.name) else {
            return Err(format!("{:?} is not one of the default settings", field.name));
        };
        if !seen.insert(&field.name) {
            return Err(format!("{:?} is defined twice", field.name));
        }
        field.check(default).map_err(|error| format!("the default of {error}"))?;
    }
    drop(seen);
    Ok(fields)
}

/// They are shown in the plugin's status, so they are bounded.
fn check_size(fields: &[Field]) -> Result<(), String> {
    let of_kind = |kind: &Kind| match kind {
        Kind::Choice(choices) => choices.iter().map(|choice| choice.len() + FIELD_BYTES).sum(),
        Kind::Text { .. } | Kind::Number { .. } | Kind::Flag => 0,
    };
    let size =
        |field: &Field| FIELD_BYTES + field.name.len() + field.title.len() + field.help.len() + of_kind(&field.kind);
    let bytes: usize = fields.iter().map(size).sum();
    let limit = names::SETTINGS_SCHEMA_BYTES;
    if bytes <= SETTINGS_SCHEMA_BYTES {
        Ok(())
    } else {
        Err(format!("{bytes} bytes; the limit \"{limit}\" is {SETTINGS_SCHEMA_BYTES}"))
    }
}

/// Checks settings; those without a field may be anything. The error names all that are wrong.
pub fn check(fields: &[Field], settings: &Value) -> Result<(), String> {
    let wrong = |field: &Field| field.check(settings.get(&field.name)?).err();
    let wrong: Vec<_> = fields.iter().filter_map(wrong).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("settings: {}", wrong.join("; "))) }
}

/// The same for settings as the JSON text that a component gets.
pub fn check_text(fields: &[Field], settings: &str) -> Result<(), String> {
    let settings = serde_json::from_str(settings).map_err(|error| format!("settings: {error}"))?;
    check(fields, &settings)
}

impl Field {
    fn check(&self, value: &Value) -> Result<(), String> {
        let name = &self.name;
        match (&self.kind, value) {
            (Kind::Text { least, most }, Value::String(text)) => {
                let length = text.chars().count();
                if length < *least as usize {
                    return Err(match least {
                        1 => format!("{name} must not be empty"),
                        least => format!("{name} has {length} characters, at least {least} are needed"),
                    });
                }
                match most.filter(|most| length > *most as usize) {
                    Some(most) => Err(format!("{name} has {length} characters, at most {most} are taken")),
                    None => Ok(()),
                }
            }
            (Kind::Number { least, most, whole }, Value::Number(number)) => {
                let value = number.as_f64().unwrap_or(f64::NAN);
                if *whole && value.fract() != 0.0 {
                    return Err(format!("{name} is {number}, and must be a whole number"));
                }
                if let Some(least) = least.filter(|least| value < *least) {
                    return Err(format!("{name} is {number}, and must be at least {least}"));
                }
                match most.filter(|most| value > *most) {
                    Some(most) => Err(format!("{name} is {number}, and must be at most {most}")),
                    None => Ok(()),
                }
            }
            (Kind::Flag, Value::Bool(_)) => Ok(()),
            (Kind::Choice(choices), Value::String(text)) if choices.contains(text) => Ok(()),
            (Kind::Text { .. }, _) => Err(format!("{name} must be a text")),
            (Kind::Number { .. }, _) => Err(format!("{name} must be a number")),
            (Kind::Flag, _) => Err(format!("{name} must be true or false")),
            (Kind::Choice(choices), _) => Err(format!("{name} must be one of {}", choices.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(name: &str, kind: Kind) -> Field {
        Field { name: name.into(), title: "A title".into(), help: String::new(), kind }
    }

    fn all() -> Vec<Field> {
        let number = Kind::Number { least: Some(0.5), most: Some(9.0), whole: false };
        let count = Kind::Number { least: Some(1.0), most: None, whole: true };
        let fields = vec![
            field("name", Kind::Text { least: 1, most: Some(5) }),
            field("by", number),
            field("count", count),
            field("on", Kind::Flag),
            field("mode", Kind::Choice(vec!["eco".into(), "full".into()])),
        ];
        read(fields, r#"{"name": "lamp", "by": 1, "count": 3, "on": true, "mode": "eco", "other": [1]}"#).unwrap()
    }

    #[test]
    fn settings_are_checked_field_by_field() {
        let fields = all();
        for (settings, wrong) in [
            (json!({}), ""),
            (json!({"name": "äöüßé", "by": 0.5, "count": 10, "on": false, "mode": "full", "other": "anything"}), ""),
            (json!({"name": ""}), "settings: name must not be empty"),
            (json!({"name": "sixsix"}), "settings: name has 6 characters, at most 5 are taken"),
            (json!({"by": 9.1}), "settings: by is 9.1, and must be at most 9"),
            (json!({"by": 0.4}), "settings: by is 0.4, and must be at least 0.5"),
            (json!({"count": 1.5}), "settings: count is 1.5, and must be a whole number"),
            (json!({"on": 1, "mode": "half"}), "settings: on must be true or false; mode must be one of eco, full"),
            (json!({"by": "1", "name": null}), "settings: name must be a text; by must be a number"),
        ] {
            let found = check(&fields, &settings).err().unwrap_or_default();
            assert_eq!(found, wrong, "{settings}");
            assert_eq!(check_text(&fields, &settings.to_string()).err().unwrap_or_default(), wrong, "{settings}");
        }
    }

    #[test]
    fn a_schema_that_does_not_fit_the_defaults_is_refused() {
        let long = "x".repeat(SETTINGS_SCHEMA_BYTES);
        for (fields, error) in [
            (vec![field("b", Kind::Flag)], "\"b\" is not one of the default settings"),
            (vec![field("a", Kind::Flag), field("a", Kind::Flag)], "\"a\" is defined twice"),
            (vec![field("a", Kind::Choice(vec![]))], "the default of a must be one of "),
            (vec![field("a", Kind::Choice(vec![long]))], "the limit \"settings-schema-bytes\""),
        ] {
            let found = read(fields, r#"{"a": true}"#).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
        assert!(read(vec![field("a", Kind::Flag)], "[]").unwrap_err().contains("not a JSON object"));
    }
}
