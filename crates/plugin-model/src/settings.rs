//! Parses a plugin's settings file. Returns the settings or all problems, each with its key. Pure.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::{
    grants::{Capability, EffectiveGrants, GrantPatterns},
    guard::GuardSettings,
    ineffective,
    limits::Limits,
    trigger::{Trigger, Triggers},
};
use switchbox_rules::description::check_settings;

/// Which component the plugin runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentRef {
    /// A component that is part of the host.
    Builtin(String),
    /// A file of the plugin folder, with its ending.
    File(String),
}

/// The checked contents of `NAME.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginSettings {
    /// The component. With `None` it is the `.wasm` of the same name.
    pub component: Option<ComponentRef>,
    pub enabled: bool,
    /// With `None` those of the component's description apply.
    pub triggers: Option<Vec<Trigger>>,
    /// With `None` the host's setting decides whether consent is needed.
    pub grants: Option<GrantPatterns>,
    pub limits: Limits,
    /// When a new version of these settings is rolled back.
    #[serde(skip_serializing_if = "GuardSettings::is_default")]
    pub guard: GuardSettings,
    /// The plugin's own settings, as JSON. `None` for the component's defaults.
    pub settings: Option<serde_json::Value>,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            component: None,
            enabled: true,
            triggers: None,
            grants: None,
            limits: Limits::default(),
            guard: GuardSettings::default(),
            settings: None,
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Such as `limits.memory` or `trigger[2].event`; empty for the text as a whole.
    pub key: String,
    pub text: String,
}

/// All problems, displayed on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(pub Vec<SettingError>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, SettingError { key, text }) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            let colon = if key.is_empty() { "" } else { ": " };
            write!(f, "{separator}{key}{colon}{text}")?;
        }
        Ok(())
    }
}

const KEYS: &str = "component, enabled, trigger, grants, limits, guard, settings";

impl PluginSettings {
    /// Parses a whole settings file.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<PluginSettings, Invalid> {
    let table = text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
        Invalid(vec![SettingError {
            key: String::new(),
            text: format!("line {line} is not TOML: {}", error.message()),
        }])
    })?;
    let mut reader = Reader::default();
    let mut settings = PluginSettings::default();
    for (key, value) in table {
        match key.as_str() {
            "component" => settings.component = reader.component(value),
            "enabled" => settings.enabled = reader.value("enabled", value).unwrap_or(true),
            "trigger" => settings.triggers = Some(reader.triggers(value)),
            "grants" => settings.grants = Some(reader.grants(value)),
            "limits" => settings.limits = reader.limits(value),
            "guard" => settings.guard = reader.guard(value),
            "settings" => settings.settings = reader.settings(value),
            _ => reader.problem(key, format!("is not a key of a plugin's settings ({KEYS})")),
        }
    }
    if reader.0.is_empty() { Ok(settings) } else { Err(Invalid(reader.0)) }
}

/// Collects the problems.
#[derive(Default)]
struct Reader(Vec<SettingError>);

impl Reader {
    fn problem(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(SettingError { key: key.into(), text: text.into() });
    }

    fn value<T: DeserializeOwned>(&mut self, key: &str, value: Value) -> Option<T> {
        value.try_into().map_err(|error: toml::de::Error| self.problem(key, error.message())).ok()
    }

    fn table(&mut self, key: &str, value: Value) -> Option<Table> {
        match value {
            Value::Table(table) => Some(table),
            other => {
                let kind = other.type_str();
                let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
                self.problem(key, format!("is {article} {kind}, but must be a table: [{key}]"));
                None
            }
        }
    }

    fn component(&mut self, value: Value) -> Option<ComponentRef> {
        let name: String = self.value("component", value)?;
        if let Some(builtin) = name.strip_prefix("builtin:") {
            return Some(ComponentRef::Builtin(builtin.into()));
        }
        let plain = !name.starts_with('.') && !name.contains(['/', '\\']);
        if plain && name.len() > ".wasm".len() && name.ends_with(".wasm") {
            return Some(ComponentRef::File(name));
        }
        self.problem("component", format!("{name:?} is neither builtin:NAME nor a NAME.wasm in the same folder"));
        None
    }

    fn triggers(&mut self, value: Value) -> Vec<Trigger> {
        let Value::Array(entries) = value else {
            self.problem("trigger", "must be written as [[trigger]]");
            return Vec::new();
        };
        let mut triggers = Vec::new();
        for (n, entry) in entries.into_iter().enumerate() {
            let key = format!("trigger[{}]", n + 1);
            let Some(trigger) = self.value::<Trigger>(&key, entry) else { continue };
            if let Err(error) = Triggers::new(std::slice::from_ref(&trigger)) {
                self.problem(key, error);
            } else if let Some(why) = ineffective::trigger(&trigger) {
                self.problem(key, why);
            }
            triggers.push(trigger);
        }
        if self.0.is_empty()
            && let Err(error) = Triggers::new(&triggers)
        {
            self.problem("trigger", error);
        }
        triggers
    }

    fn grants(&mut self, value: Value) -> GrantPatterns {
        let mut granted = GrantPatterns::new();
        for (key, value) in self.table("grants", value).unwrap_or_default() {
            let path = format!("grants.{key}");
            let Some(capability) = Capability::ALL.into_iter().find(|c| c.as_str() == key) else {
                self.problem(path, "is not a capability (config, command, method, read, publish)");
                continue;
            };
            if let Value::String(pattern) = value {
                self.problem(path, format!("is a string, but must be a list: [{pattern:?}]"));
                continue;
            }
            let Some(patterns) = self.value::<Vec<String>>(&path, value) else { continue };
            granted.insert(capability, patterns);
            if let Some(Err(error)) = granted.get_key_value(&capability).map(|(capability, patterns)| {
                EffectiveGrants::new(&[], Some(&GrantPatterns::from([(*capability, patterns.clone())])))
            }) {
                self.problem(path, error);
                continue;
            }
            let ineffective =
                granted.get(&capability).into_iter().flatten().filter_map(|p| ineffective::grant(capability, p));
            let ineffective: Vec<_> = ineffective.collect();
            ineffective.into_iter().for_each(|why| self.problem(path.clone(), why));
        }
        if self.0.is_empty()
            && let Err(error) = EffectiveGrants::new(&[], Some(&granted))
        {
            self.problem("grants", error);
        }
        granted
    }

    /// Parses each key of a table by itself first, so that each problem has its key.
    fn each_key<T: DeserializeOwned + Default>(&mut self, table: &str, value: Value) -> T {
        let mut valid = Table::new();
        for (key, value) in self.table(table, value).unwrap_or_default() {
            let alone = Table::from_iter([(key.clone(), value.clone())]);
            if self.value::<T>(&format!("{table}.{key}"), Value::Table(alone)).is_some() {
                valid.insert(key, value);
            }
        }
        self.value(table, Value::Table(valid)).unwrap_or_default()
    }

    fn limits(&mut self, value: Value) -> Limits {
        let limits: Limits = self.each_key("limits", value);
        for (key, text) in limits.problems() {
            self.problem(format!("limits.{key}"), text);
        }
        limits
    }

    fn guard(&mut self, value: Value) -> GuardSettings {
        let guard: GuardSettings = self.each_key("guard", value);
        for (key, text) in guard.problems() {
            self.problem(format!("guard.{key}"), text);
        }
        guard
    }

    fn settings(&mut self, value: Value) -> Option<serde_json::Value> {
        let table = self.table("settings", value)?;
        let json = serde_json::to_value(table).map_err(|error| error.to_string());
        let json = json.and_then(|json| check_settings(json.to_string().len()).map(|()| json));
        json.map_err(|error| self.problem("settings", error)).ok()
    }
}

#[cfg(test)]
mod tests;
