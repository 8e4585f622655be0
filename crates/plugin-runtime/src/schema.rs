//! What a component says that its settings may be: read with bounds, and settings checked against it. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    bindings::schema::{self as wit, Kind as WitKind},
    limits::names,
};
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

impl From<WitKind> for Kind {
    fn from(kind: WitKind) -> Self {
        match kind {
            WitKind::Text(wit::Length { least, most }) => Self::Text { least, most },
            WitKind::Number(wit::Range { least, most, whole }) => Self::Number { least, most, whole },
            WitKind::Flag => Self::Flag,
            WitKind::Choice(choices) => Self::Choice(choices),
        }
    }
}

/// Reads what a component answered. Every field is one of its default settings, and takes the default.
pub(super) fn read(fields: Vec<wit::Field>, defaults: &str) -> Result<Vec<Field>, String> {
    check_size(&fields)?;
    let defaults: Map<String, Value> =
        serde_json::from_str(defaults).map_err(|_| "default-settings is not a JSON object".to_owned())?;
    let mut seen = BTreeSet::new();
    let mut read = Vec::with_capacity(fields.len());
    for wit::Field { name, title, help, kind } in fields {
        let Some(default) = defaults.get(&name) else {
            return Err(format!("{name:?} is not one of the default settings"));
        };
        if !seen.insert(name.clone()) {
            return Err(format!("{name:?} is defined twice"));
        }
        let field = Field { name, title, help, kind: kind.into() };
        field.check(default).map_err(|error| format!("the default of {error}"))?;
        read.push(field);
    }
    Ok(read)
}

/// They are shown in the plugin's status, so they are bounded.
fn check_size(fields: &[wit::Field]) -> Result<(), String> {
    let of_kind = |kind: &WitKind| match kind {
        WitKind::Choice(choices) => choices.iter().map(|choice| choice.len() + FIELD_BYTES).sum(),
        WitKind::Text(_) | WitKind::Number(_) | WitKind::Flag => 0,
    };
    let size = |field: &wit::Field| {
        FIELD_BYTES + field.name.len() + field.title.len() + field.help.len() + of_kind(&field.kind)
    };
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

    fn field(name: &str, kind: WitKind) -> wit::Field {
        wit::Field { name: name.into(), title: "A title".into(), help: String::new(), kind }
    }

    fn all() -> Vec<Field> {
        let number = wit::Range { least: Some(0.5), most: Some(9.0), whole: false };
        let count = wit::Range { least: Some(1.0), most: None, whole: true };
        let fields = vec![
            field("name", WitKind::Text(wit::Length { least: 1, most: Some(5) })),
            field("by", WitKind::Number(number)),
            field("count", WitKind::Number(count)),
            field("on", WitKind::Flag),
            field("mode", WitKind::Choice(vec!["eco".into(), "full".into()])),
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
        }
    }

    #[test]
    fn a_schema_that_does_not_fit_the_defaults_is_refused() {
        let long = "x".repeat(SETTINGS_SCHEMA_BYTES);
        for (fields, error) in [
            (vec![field("b", WitKind::Flag)], "\"b\" is not one of the default settings"),
            (vec![field("a", WitKind::Flag), field("a", WitKind::Flag)], "\"a\" is defined twice"),
            (vec![field("a", WitKind::Choice(vec![]))], "the default of a must be one of "),
            (vec![field("a", WitKind::Choice(vec![long]))], "the limit \"settings-schema-bytes\""),
        ] {
            let found = read(fields, r#"{"a": true}"#).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
        assert!(read(vec![field("a", WitKind::Flag)], "[]").unwrap_err().contains("not a JSON object"));
    }
}
