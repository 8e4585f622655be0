//! Names and numbers of things. Every name is checked when it is made, so that a value of these types is always usable
//! in a topic, a URL and a file name.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::limits::{ID_BYTES, LimitName, names};

/// The project, location and registry that a fresh host has.
pub const DEFAULT_REGISTRY: &str = "projects/local/locations/local/registries/default";

/// A name that breaks the rules; the text says which rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?}: {rule}")]
pub struct InvalidName {
    pub what: &'static str,
    pub name: String,
    pub rule: &'static str,
    /// Where it is too long.
    pub limit: Option<LimitName>,
}

fn check(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let wrong = |rule, limit| Err(InvalidName { what, name: name.chars().take(80).collect(), rule, limit });
    let invalid = |rule| wrong(rule, None);
    if name.is_empty() {
        return invalid("must not be empty");
    }
    if name.len() > ID_BYTES {
        return wrong("must be at most 255 bytes long", Some(names::ID_BYTES));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return invalid("must begin with a letter or a digit");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%:".contains(&b)) {
        return invalid("may hold only letters, digits and - _ . ~ % :");
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the rules: 1 to 255 bytes, begins with a letter or digit, holds letters, digits and `-_.~%:`.
            pub fn new(name: &str) -> Result<Self, InvalidName> {
                check($what, name)?;
                Ok(Self(name.into()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(&name)
            }
        }

        impl From<$name> for Arc<str> {
            fn from(name: $name) -> Arc<str> {
                name.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().into()
            }
        }
    };
}

id!(
    /// A device's id within its registry, such as `lamp-1`.
    DeviceId,
    "device id"
);
id!(
    /// A plugin's name: that of its file in the watched folder without the ending.
    PluginName,
    "plugin name"
);

id!(
    /// The name of a service account: a program that is not a device.
    ServiceName,
    "service account name"
);

/// `projects/{p}/locations/{l}/registries/{r}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryName(Arc<str>);

impl RegistryName {
    /// Takes the full resource name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let invalid =
            |rule| InvalidName { what: "registry name", name: name.chars().take(80).collect(), rule, limit: None };
        let mut parts = name.split('/');
        for key in ["projects", "locations", "registries"] {
            if parts.next() != Some(key) {
                return Err(invalid("must be projects/{p}/locations/{l}/registries/{r}"));
            }
            check("registry name", parts.next().unwrap_or_default())?;
        }
        match parts.next() {
            None => Ok(Self(name.into())),
            Some(_) => Err(invalid("must be projects/{p}/locations/{l}/registries/{r}")),
        }
    }

    /// From its parts.
    pub fn of(project: &str, location: &str, registry: &str) -> Result<Self, InvalidName> {
        Self::new(&format!("projects/{project}/locations/{location}/registries/{registry}"))
    }

    /// The registry that a fresh host has.
    #[must_use]
    pub fn default_registry() -> Self {
        Self(DEFAULT_REGISTRY.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('/').nth(index).unwrap_or_default()
    }

    #[must_use]
    pub fn project(&self) -> &str {
        self.part(1)
    }

    #[must_use]
    pub fn location(&self) -> &str {
        self.part(3)
    }

    /// The last part: the registry's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.part(5)
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for RegistryName {
    type Error = InvalidName;
    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(&name)
    }
}

impl From<RegistryName> for String {
    fn from(name: RegistryName) -> String {
        name.0.as_ref().into()
    }
}

/// A device's full name: its registry and its id.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct DeviceName {
    pub registry: RegistryName,
    pub id: DeviceId,
}

impl DeviceName {
    /// Reads one of the three forms: `{d}` in `home`, `{r}/{d}` in `home`'s project and location, or
    /// `projects/{p}/locations/{l}/registries/{r}/devices/{d}`.
    pub fn parse(text: &str, home: &RegistryName) -> Result<Self, InvalidName> {
        let invalid =
            |rule| InvalidName { what: "device name", name: text.chars().take(80).collect(), rule, limit: None };
        let forms = "must be {d}, {r}/{d} or projects/{p}/locations/{l}/registries/{r}/devices/{d}";
        // Nine parts are too many already: how many there are may be up to an unauthenticated client.
        match text.splitn(9, '/').collect::<Vec<_>>().as_slice() {
            [id] => Ok(Self { registry: home.clone(), id: DeviceId::new(id)? }),
            [registry, id] => Ok(Self {
                registry: RegistryName::of(home.project(), home.location(), registry)?,
                id: DeviceId::new(id)?,
            }),
            ["projects", p, "locations", l, "registries", r, "devices", d] => {
                Ok(Self { registry: RegistryName::of(p, l, r)?, id: DeviceId::new(d)? })
            }
            _ => Err(invalid(forms)),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/devices/{}", self.registry, self.id)
    }
}

/// A device's number: never reused, also not after the device is deleted. Google's `numId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceNum(pub u64);

/// The first number of devices in the API. No id that users type, nor one of a manufacturer (IMEI, ICCID, EUI), is in the range
/// that follows, so that the id of a deleted device never names another one by its number.
const NUM_IDS_FROM: u64 = 1 << 62;
/// How many there can be: so few that the ids of SIM cards, which have as many digits, are not among them.
const NUM_IDS: u64 = 1 << 40;

impl DeviceNum {
    /// As the API shows it: Google's `numId`.
    #[must_use]
    pub fn num_id(self) -> u64 {
        NUM_IDS_FROM | self.0
    }

    /// Reads a `numId`. `None` for any other text.
    #[must_use]
    pub fn parse_num_id(text: &str) -> Option<Self> {
        let number: u64 = text.parse().ok()?;
        let num = Self(number.checked_sub(NUM_IDS_FROM).filter(|num| *num > 0 && *num < NUM_IDS)?);
        (num.num_id().to_string() == text).then_some(num)
    }
}

/// An event's place in the journal; grows by one from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
