//! The ids of things that can be explained, and their textual form. Pure.

use switchbox_model::{DeviceName, PluginName, RegistryName, Seq};

/// The forms, for the error text.
pub const FORMS: &str = "an event is written 42; a config version lamp-1@7, hall/lamp-1@7 or …/devices/lamp-1/configVersions/7; \
    the newest config of a device lamp-1; what plugin wake made of event 42 42.wake; an effect or a command of it 42.wake.0; a \
    method call of it 42.wake.m0; a command or a call of an operator api.…; a dead letter deadLetters/3";

/// Something that can be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    Event(Seq),
    /// `version`: `None` for the newest.
    Config {
        device: DeviceName,
        version: Option<u64>,
    },
    /// The execution of one event by one plugin.
    Execution {
        seq: Seq,
        plugin: PluginName,
    },
    /// An effect of a plugin: a config, a command or a write to its state.
    Effect {
        seq: Seq,
        plugin: PluginName,
        index: usize,
    },
    /// A plugin's method call.
    Call {
        seq: Seq,
        plugin: PluginName,
        index: u32,
    },
    /// A command or a method call of an operator.
    OperatorRequest(String),
    DeadLetter(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id that can be explained: {FORMS}")]
pub struct InvalidId {
    text: String,
}

impl Id {
    /// Short device names are those of the default registry.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        Self::parse_in(text, &RegistryName::default_registry())
    }

    /// Short device names are those of `home`.
    pub fn parse_in(text: &str, home: &RegistryName) -> Result<Self, InvalidId> {
        let text = text.trim().trim_start_matches("/v1/");
        read(text, home).ok_or_else(|| InvalidId { text: text.chars().take(200).collect() })
    }
}

fn read(text: &str, home: &RegistryName) -> Option<Id> {
    let device_name = |text| DeviceName::parse(text, home).ok();
    if let Some(dead_letter) = text.strip_prefix("deadLetters/") {
        return dead_letter.parse().ok().map(Id::DeadLetter);
    }
    if let Ok(seq) = text.parse() {
        return Some(Id::Event(Seq(seq)));
    }
    if text.starts_with("api.") {
        return Some(Id::OperatorRequest(text.to_owned()));
    }
    if let Some((device, version)) = text.rsplit_once("/configVersions/").or_else(|| text.rsplit_once('@')) {
        return Some(Id::Config { device: device_name(device)?, version: Some(version.parse().ok()?) });
    }
    // A command is named by its id; the resource name around it says nothing more.
    if let Some((_, id)) = text.rsplit_once("/commands/") {
        return of_plugin(id).or_else(|| id.starts_with("api.").then(|| Id::OperatorRequest(id.to_owned())));
    }
    of_plugin(text).or_else(|| Some(Id::Config { device: device_name(text)?, version: None }))
}

/// `42.wake`, `42.wake.0` and `42.wake.m0`. A plugin's name may hold points itself.
fn of_plugin(text: &str) -> Option<Id> {
    let (seq, rest) = text.split_once('.')?;
    let seq = Seq(seq.parse().ok()?);
    if let Some((plugin, last)) = rest.rsplit_once('.') {
        let plugin = || PluginName::new(plugin).ok();
        if let Ok(index) = last.parse() {
            return Some(Id::Effect { seq, plugin: plugin()?, index });
        }
        if let Some(index) = last.strip_prefix('m').and_then(|index| index.parse().ok()) {
            return Some(Id::Call { seq, plugin: plugin()?, index });
        }
    }
    Some(Id::Execution { seq, plugin: PluginName::new(rest).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_can_be_asked_about_has_a_form() {
        let plugin = |name| PluginName::new(name).unwrap();
        let device_name = |text| DeviceName::parse(text, &RegistryName::default_registry());
        let config = |device, version| Some(Id::Config { device: device_name(device).unwrap(), version });
        let full = "projects/p/locations/l/registries/r/devices/lamp-1";
        for (text, expected) in [
            ("42", Some(Id::Event(Seq(42)))),
            (" 42\n", Some(Id::Event(Seq(42)))),
            ("lamp-1", config("lamp-1", None)),
            ("lamp-1@7", config("lamp-1", Some(7))),
            ("hall/lamp-1@7", config("hall/lamp-1", Some(7))),
            (&format!("{full}@7"), config(full, Some(7))),
            (&format!("{full}/configVersions/7"), config(full, Some(7))),
            (&format!("/v1/{full}/configVersions/7"), config(full, Some(7))),
            ("42.wake", Some(Id::Execution { seq: Seq(42), plugin: plugin("wake") })),
            ("42.wake.0", Some(Id::Effect { seq: Seq(42), plugin: plugin("wake"), index: 0 })),
            ("42.wake.v2.0", Some(Id::Effect { seq: Seq(42), plugin: plugin("wake.v2"), index: 0 })),
            ("42.wake.m3", Some(Id::Call { seq: Seq(42), plugin: plugin("wake"), index: 3 })),
            (
                &format!("{full}/commands/42.wake.1"),
                Some(Id::Effect { seq: Seq(42), plugin: plugin("wake"), index: 1 }),
            ),
            ("api.00ff", Some(Id::OperatorRequest("api.00ff".into()))),
            (&format!("{full}/commands/api.00ff"), Some(Id::OperatorRequest("api.00ff".into()))),
            ("deadLetters/3", Some(Id::DeadLetter(3))),
            ("", None),
            ("lamp-1@x", None),
            ("a b", None),
            ("deadLetters/x", None),
            ("x/commands/y", None),
        ] {
            assert_eq!(Id::parse(text).ok(), expected, "{text}");
        }
        let hall = RegistryName::of("local", "local", "hall").unwrap();
        assert_eq!(Id::parse_in("lamp-1@7", &hall).ok(), config("hall/lamp-1", Some(7)));
        assert!(Id::parse("a b").unwrap_err().to_string().contains("lamp-1@7"));
    }
}
