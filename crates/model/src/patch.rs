//! Changes of single fields of a device, a registry or a service account, as an entry of the journal holds them. Each is applied to
//! what the thing is when the entry is applied, so that changes of different fields never undo each other.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use switchbox_rules::names::{DeviceName, DeviceNum, RegistryName, ServiceName};

use super::{
    cause::Cause,
    registry::{Credential, DeviceSpec, EventTopic, GatewayAuth, MethodEndpoint, RegistrySpec, ServiceSpec},
    symmetric::SymmetricKeys,
};

/// A device that is made in one step with everything that its call gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDevice {
    pub num: DeviceNum,
    pub name: DeviceName,
    pub spec: DeviceSpec,
    pub endpoint: Option<MethodEndpoint>,
    pub config: Option<FirstConfig>,
    pub time_ms: u64,
}

/// The config that a device is made with: its version 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstConfig {
    pub payload: Bytes,
    pub cause: Cause,
}

/// Whose credentials an entry changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialOwner {
    Device(DeviceNum),
    Service(ServiceName),
}

/// Whose symmetric key an entry replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOwner {
    Device(DeviceNum),
    /// The registry's access key with this name.
    AccessKey {
        registry: RegistryName,
        name: String,
    },
}

/// `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePatch {
    pub blocked: Option<bool>,
    /// Takes the place of all metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Single keys of the metadata, after `metadata`: the new value, or `None` to remove the key.
    pub metadata_keys: BTreeMap<String, Option<String>>,
    /// Takes the place of all credentials.
    pub credentials: Option<Vec<Credential>>,
    pub gateway: Option<GatewayPatch>,
    /// Is `Some(None)` if the device has no log level of its own any more.
    pub log_level: Option<Option<String>>,
    /// Is `Some(None)` if the device's methods are called over MQTT.
    pub endpoint: Option<Option<MethodEndpoint>>,
    /// Is `Some(None)` if the device has no symmetric keys any more.
    pub symmetric_keys: Option<Option<Box<SymmetricKeys>>>,
}

/// Whether the device is a gateway, and by what it attaches devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayPatch {
    pub is_gateway: Option<bool>,
    pub method: Option<GatewayAuth>,
    /// The method of a device that was no gateway before, where `method` says none.
    pub first_method: GatewayAuth,
}

impl GatewayPatch {
    fn applied(self, before: Option<GatewayAuth>) -> Option<GatewayAuth> {
        let is_gateway = self.is_gateway.unwrap_or(before.is_some());
        is_gateway.then(|| self.method.or(before).unwrap_or(self.first_method))
    }
}

impl DevicePatch {
    /// Sets all that a spec has.
    #[must_use]
    pub fn whole(spec: DeviceSpec) -> Self {
        let gateway = GatewayPatch {
            is_gateway: Some(spec.gateway.is_some()),
            method: spec.gateway,
            first_method: GatewayAuth::AssociationOnly,
        };
        Self {
            blocked: Some(spec.blocked),
            metadata: Some(spec.metadata),
            credentials: Some(spec.credentials),
            gateway: Some(gateway),
            log_level: Some(spec.log_level),
            symmetric_keys: Some(spec.symmetric_keys),
            ..Self::default()
        }
    }

    /// Changes nothing that decides whether the device may stay connected.
    #[must_use]
    pub fn is_endpoint_only(&self) -> bool {
        *self == Self { endpoint: self.endpoint.clone(), ..Self::default() }
    }

    /// The spec with the fields of this patch. The endpoint is not part of a spec.
    pub fn apply(&self, spec: &mut DeviceSpec) {
        if let Some(blocked) = self.blocked {
            spec.blocked = blocked;
        }
        if let Some(metadata) = &self.metadata {
            spec.metadata.clone_from(metadata);
        }
        for (key, value) in &self.metadata_keys {
            match value {
                Some(value) => drop(spec.metadata.insert(key.clone(), value.clone())),
                None => drop(spec.metadata.remove(key)),
            }
        }
        if let Some(credentials) = &self.credentials {
            spec.credentials.clone_from(credentials);
        }
        if let Some(gateway) = self.gateway {
            spec.gateway = gateway.applied(spec.gateway);
        }
        if let Some(level) = &self.log_level {
            spec.log_level.clone_from(level);
        }
        if let Some(keys) = &self.symmetric_keys {
            spec.symmetric_keys.clone_from(keys);
        }
    }
}

/// `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryPatch {
    pub log_level: Option<Option<String>>,
    pub http_disabled: Option<bool>,
    /// Takes the place of all authorities.
    pub authorities: Option<Vec<String>>,
    pub event_topics: Option<Vec<EventTopic>>,
    pub state_topic: Option<Option<String>>,
    /// Single access keys, by their names.
    pub access_keys: BTreeMap<String, SymmetricKeys>,
    /// Appends the value under the name, unless there is one of the name already.
    pub first_access_keys: BTreeMap<String, SymmetricKeys>,
}

impl RegistryPatch {
    /// Sets all that a spec has.
    #[must_use]
    pub fn whole(spec: RegistrySpec) -> Self {
        let RegistrySpec { log_level, http_disabled, authorities, event_topics, state_topic, access_keys } = spec;
        Self {
            log_level: Some(log_level),
            http_disabled: Some(http_disabled),
            authorities: Some(authorities),
            event_topics: Some(event_topics),
            state_topic: Some(state_topic),
            access_keys,
            first_access_keys: BTreeMap::new(),
        }
    }

    pub fn apply(&self, spec: &mut RegistrySpec) {
        if let Some(level) = &self.log_level {
            spec.log_level.clone_from(level);
        }
        if let Some(disabled) = self.http_disabled {
            spec.http_disabled = disabled;
        }
        if let Some(authorities) = &self.authorities {
            spec.authorities.clone_from(authorities);
        }
        if let Some(topics) = &self.event_topics {
            spec.event_topics.clone_from(topics);
        }
        if let Some(topic) = &self.state_topic {
            spec.state_topic.clone_from(topic);
        }
        for (name, keys) in &self.access_keys {
            spec.access_keys.insert(name.clone(), keys.clone());
        }
        for (name, keys) in &self.first_access_keys {
            spec.access_keys.entry(name.clone()).or_insert_with(|| keys.clone());
        }
    }
}

/// `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePatch {
    pub disabled: Option<bool>,
    /// Takes the place of all credentials.
    pub credentials: Option<Vec<Credential>>,
    pub publish: Option<Vec<String>>,
    pub subscribe: Option<Vec<String>>,
}

impl ServicePatch {
    /// Sets all that a spec has.
    #[must_use]
    pub fn whole(spec: ServiceSpec) -> Self {
        let ServiceSpec { disabled, credentials, publish, subscribe } = spec;
        Self {
            disabled: Some(disabled),
            credentials: Some(credentials),
            publish: Some(publish),
            subscribe: Some(subscribe),
        }
    }

    pub fn apply(&self, spec: &mut ServiceSpec) {
        if let Some(disabled) = self.disabled {
            spec.disabled = disabled;
        }
        if let Some(credentials) = &self.credentials {
            spec.credentials.clone_from(credentials);
        }
        if let Some(publish) = &self.publish {
            spec.publish.clone_from(publish);
        }
        if let Some(subscribe) = &self.subscribe {
            spec.subscribe.clone_from(subscribe);
        }
    }
}

/// Whether two PEM texts are equal except for line breaks.
#[must_use]
pub fn is_same_pem(one: &str, other: &str) -> bool {
    one.split_whitespace().flat_map(str::bytes).eq(other.split_whitespace().flat_map(str::bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_its_fields_alone_and_a_whole_one_all() {
        let before = DeviceSpec {
            blocked: true,
            metadata: BTreeMap::from([("room".into(), "hall".into()), ("floor".into(), "1".into())]),
            gateway: Some(GatewayAuth::DeviceAuthTokenOnly),
            log_level: Some("INFO".into()),
            ..DeviceSpec::default()
        };
        let mut spec = before.clone();
        DevicePatch::default().apply(&mut spec);
        assert_eq!(spec, before);
        let keys = BTreeMap::from([("room".into(), None), ("wing".into(), Some("west".into()))]);
        DevicePatch { metadata_keys: keys, log_level: Some(None), ..DevicePatch::default() }.apply(&mut spec);
        let metadata = BTreeMap::from([("floor".into(), "1".into()), ("wing".into(), "west".into())]);
        assert_eq!(spec, DeviceSpec { metadata, log_level: None, ..before.clone() });
        DevicePatch::whole(DeviceSpec::default()).apply(&mut spec);
        assert_eq!(spec, DeviceSpec::default());
        DevicePatch::whole(before.clone()).apply(&mut spec);
        assert_eq!(spec, before);
    }

    #[test]
    fn a_gateways_method_and_type_are_changed_one_without_the_other() {
        let [only, token] = [GatewayAuth::AssociationOnly, GatewayAuth::DeviceAuthTokenOnly];
        for (is_gateway, method, before, after) in [
            (None, Some(token), Some(only), Some(token)),
            (None, Some(token), None, None),
            (Some(true), None, Some(token), Some(token)),
            (Some(true), None, None, Some(only)),
            (Some(false), None, Some(token), None),
            (Some(true), Some(only), Some(token), Some(only)),
        ] {
            let patch = GatewayPatch { is_gateway, method, first_method: only };
            assert_eq!(patch.applied(before), after, "{patch:?} {before:?}");
        }
    }

    #[test]
    fn one_pem_is_the_same_however_its_lines_are_broken() {
        assert!(is_same_pem("-----BEGIN X-----\nAAAA\nBBBB\n", "-----BEGIN X-----\r\nAAAABBBB"));
        assert!(!is_same_pem("-----BEGIN X-----\nAAAA\n", "-----BEGIN X-----\nAAAB\n"));
    }
}
