//! Registries as the API shows them. A registry has no data of its own beyond its name and age; what Google's API has
//! besides is shown as it stands, and a wish to have it otherwise is refused by name.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::EnumStyle;
use crate::{admin::error::Error, clock, model::RegistryName};

/// A registry as a caller writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(in crate::admin) struct RegistryIn(Map<String, Value>);

impl RegistryIn {
    pub(in crate::admin) fn id(&self) -> Result<&str, Error> {
        self.0.get("id").and_then(Value::as_str).ok_or_else(|| Error::invalid("id is missing"))
    }

    /// Refuses what this version cannot do, by name.
    pub(in crate::admin) fn check(&self) -> Result<(), Error> {
        for (field, value) in &self.0 {
            let fine = match field.as_str() {
                "id" | "name" => true,
                "mqttConfig" => is(value, "mqttEnabledState", "MQTT_ENABLED", 1),
                "httpConfig" => is(value, "httpEnabledState", "HTTP_DISABLED", 2),
                "logLevel" => [json!("NONE"), json!("LOG_LEVEL_UNSPECIFIED"), json!(0), json!(10)].contains(value),
                "eventNotificationConfigs" | "stateNotificationConfig" | "credentials" => is_empty(value),
                _ => return Err(Error::invalid(format!("a registry has no field {field:?}"))),
            };
            if !fine {
                return Err(Error::unimplemented(&format!("a registry's {field} other than what it is now")));
            }
        }
        Ok(())
    }
}

fn is(value: &Value, field: &str, name: &str, number: u64) -> bool {
    match value.get(field) {
        None => true,
        Some(value) => *value == name || *value == number || *value == 0,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        other => other.is_null(),
    }
}

pub(in crate::admin) fn registry(name: &RegistryName, created_ms: u64, style: EnumStyle) -> Value {
    let state = |name: &str, number: u64| match style {
        EnumStyle::Names => json!(name),
        EnumStyle::Numbers => json!(number),
    };
    json!({
        "id": name.id(),
        "name": name.as_str(),
        "mqttConfig": {"mqttEnabledState": state("MQTT_ENABLED", 1)},
        "httpConfig": {"httpEnabledState": state("HTTP_DISABLED", 2)},
        "createTime": clock::rfc3339(created_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_cannot_be_is_refused_by_name() {
        for (text, word) in [
            (r#"{"id": "a", "mqttConfig": {"mqttEnabledState": 1}, "eventNotificationConfigs": []}"#, ""),
            (r#"{"id": "a", "eventNotificationConfigs": [{"pubsubTopicName": "t"}]}"#, "eventNotificationConfigs"),
            (r#"{"id": "a", "mqttConfig": {"mqttEnabledState": "MQTT_DISABLED"}}"#, "mqttConfig"),
            (r#"{"id": "a", "colour": 1}"#, "colour"),
        ] {
            let check = serde_json::from_str::<RegistryIn>(text).unwrap().check();
            match check {
                Ok(()) => assert_eq!(word, "", "{text}"),
                Err(error) => assert!(!word.is_empty() && error.text.contains(word), "{error}"),
            }
        }
    }
}
