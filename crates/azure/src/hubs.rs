//! Maps the host name of a hub to a registry. A name that no setting lists means the default registry.

use std::{collections::BTreeMap, str::FromStr};

use switchbox_model::RegistryName;

/// Host names of hubs with their registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hubs(BTreeMap<String, RegistryName>);

impl Hubs {
    /// Each item is `HOST=REGISTRY`. A registry is given by its id (beside the default registry) or its full name.
    pub fn new<'a>(items: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut hubs = BTreeMap::new();
        for item in items {
            let wrong = || format!("must be HOST=REGISTRY, separated by commas, not {item:?}");
            let (host, registry) = item.split_once('=').ok_or_else(wrong)?;
            let (host, registry) = (host.trim().to_ascii_lowercase(), registry.trim());
            if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) {
                return Err(wrong());
            }
            if hubs.insert(host.clone(), named(registry)?).is_some() {
                return Err(format!("names {host:?} twice"));
            }
        }
        Ok(Self(hubs))
    }

    #[must_use]
    pub fn registry(&self, host: &str) -> RegistryName {
        self.0.get(&host.to_ascii_lowercase()).cloned().unwrap_or_else(RegistryName::default_registry)
    }

    /// The host name of the registry's hub. `None` if no setting names one.
    #[must_use]
    pub fn host(&self, registry: &RegistryName) -> Option<&str> {
        self.0.iter().find(|(_, found)| *found == registry).map(|(host, _)| host.as_str())
    }

    /// The host name of the registry's hub: that of the setting, or else the first of the names by which the host is `called` that means
    /// the registry. A name with a wildcard is none, and an IPv6 address cannot stand in a connection string.
    pub fn host_of<'a>(
        &'a self,
        registry: &RegistryName,
        called: impl IntoIterator<Item = &'a str>,
    ) -> Result<&'a str, NoHostName> {
        let fits = |name: &&str| !name.starts_with('*') && !name.contains(':') && self.registry(name) == *registry;
        let found = self.host(registry).or_else(|| called.into_iter().find(fits));
        found.ok_or_else(|| NoHostName(registry.clone()))
    }
}

/// Clients cannot call the registry's hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no host name is known that means registry {}: add NAME={} to azure.hubs", .0.id(), setting(.0))]
pub struct NoHostName(RegistryName);

/// The registry as an item of the setting names it.
fn setting(registry: &RegistryName) -> &str {
    match named(registry.id()) {
        Ok(beside_default) if beside_default == *registry => registry.id(),
        _ => registry.as_str(),
    }
}

impl FromStr for Hubs {
    type Err = String;

    /// Items are separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text.split(',').map(str::trim).filter(|item| !item.is_empty()))
    }
}

fn named(registry: &str) -> Result<RegistryName, String> {
    let default = RegistryName::default_registry();
    let name = if registry.contains('/') {
        RegistryName::new(registry)
    } else {
        RegistryName::of(default.project(), default.location(), registry)
    };
    name.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_stands_for_a_registry() {
        let hubs: Hubs = "Hall.example=hall, b.example=projects/p/locations/l/registries/r".parse().unwrap();
        let hall = RegistryName::of("local", "local", "hall").unwrap();
        assert_eq!(hubs.registry("hall.EXAMPLE"), hall);
        assert_eq!(hubs.registry("b.example").as_str(), "projects/p/locations/l/registries/r");
        assert_eq!(hubs.registry("other.example"), RegistryName::default_registry());
        assert_eq!(hubs.host(&hall), Some("hall.example"));
        assert_eq!(hubs.host(&RegistryName::default_registry()), None);
        assert_eq!(hubs.host_of(&hall, ["other.example"]), Ok("hall.example"));
        let default = RegistryName::default_registry();
        let called = ["*.plant.test", "hall.example", "192.0.2.7", "other.example"];
        assert_eq!(hubs.host_of(&default, called), Ok("192.0.2.7"));
        let problem = hubs.host_of(&default, ["hall.example", "*.plant.test"]).unwrap_err().to_string();
        assert!(problem.ends_with("registry default: add NAME=default to azure.hubs"), "{problem}");
        let problem = Hubs::default().host_of(&hall, ["hall.example"]).unwrap_err().to_string();
        assert!(problem.ends_with("registry hall: add NAME=hall to azure.hubs"), "{problem}");
        for wrong in ["hall", "=hall", "a b=hall", "a=", "a=x/y", "a=b,A=c"] {
            assert!(wrong.parse::<Hubs>().is_err(), "{wrong}");
        }
        assert_eq!("".parse(), Ok(Hubs::default()));
    }
}
