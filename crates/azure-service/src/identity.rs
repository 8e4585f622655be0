//! A device's identity in the bodies of the registry's calls.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{app::App, documents::NEVER, error::ServiceError, etag};
use switchbox_auth::symmetric;
use switchbox_core::registry::{Device, Registered};
use switchbox_model::{
    patch::DevicePatch,
    registry::DeviceSpec,
    symmetric::{SymmetricKey, SymmetricKeys},
};
use switchbox_support::clock;

/// The metadata key of `statusReason`.
const STATUS_REASON: &str = "statusReason";
/// Longest reason, bytes.
const REASON_BYTES: usize = 128;
/// The length of a symmetric key, bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// What a caller sets for a device. Fields that the host sets are accepted and ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdentityIn {
    #[serde(alias = "id")]
    pub(crate) device_id: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) status_reason: Option<String>,
    authentication: Option<AuthenticationIn>,
    capabilities: Option<CapabilitiesIn>,
    device_scope: Option<String>,
    parent_scopes: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthenticationIn {
    #[serde(rename = "type")]
    kind: Option<String>,
    symmetric_key: Option<KeysIn>,
    x509_thumbprint: Option<ThumbprintsIn>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysIn {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThumbprintsIn {
    primary_thumbprint: Option<String>,
    secondary_thumbprint: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CapabilitiesIn {
    iot_edge: Option<bool>,
}

/// How a device authenticates.
enum Keys {
    /// By these two keys. A missing key is generated, unless the device has one already.
    Symmetric(Option<String>, Option<String>),
    /// By a certificate of one of the registry's authorities.
    Authority,
    /// The caller did not set it.
    Unchanged,
}

impl IdentityIn {
    /// Refuses fields that this host does not support.
    pub(crate) fn check(&self) -> Result<(), ServiceError> {
        if self.capabilities.as_ref().and_then(|capabilities| capabilities.iot_edge) == Some(true) {
            return Err(ServiceError::not_supported("capabilities.iotEdge"));
        }
        let scoped = self.device_scope.as_ref().is_some_and(|scope| !scope.is_empty());
        if scoped || self.parent_scopes.as_ref().is_some_and(|scopes| !scopes.is_empty()) {
            return Err(ServiceError::not_supported("deviceScope and parentScopes"));
        }
        let reason = self.status_reason.as_ref().map_or(0, String::len);
        if reason > REASON_BYTES {
            return Err(ServiceError::invalid(format!("statusReason has more than {REASON_BYTES} bytes")));
        }
        Ok(())
    }

    fn blocked(&self) -> Result<bool, ServiceError> {
        match self.status.as_deref() {
            None => Ok(false),
            Some(status) if status.eq_ignore_ascii_case("enabled") => Ok(false),
            Some(status) if status.eq_ignore_ascii_case("disabled") => Ok(true),
            Some(other) => Err(ServiceError::invalid(format!("status is enabled or disabled, not {other:?}"))),
        }
    }

    fn keys(&self) -> Result<Keys, ServiceError> {
        let Some(authentication) = &self.authentication else { return Ok(Keys::Unchanged) };
        let thumbprints = authentication.x509_thumbprint.as_ref();
        let has_thumbprint =
            thumbprints.is_some_and(|x509| x509.primary_thumbprint.is_some() || x509.secondary_thumbprint.is_some());
        match authentication.kind.as_deref().unwrap_or("sas") {
            _ if has_thumbprint => Err(ServiceError::not_supported(
                "authentication.x509Thumbprint (register the device's key as a credential, or its authority)",
            )),
            "sas" => {
                let keys = authentication.symmetric_key.clone().unwrap_or_default();
                let given = |key: Option<String>| key.filter(|key| !key.is_empty());
                Ok(Keys::Symmetric(given(keys.primary_key), given(keys.secondary_key)))
            }
            "certificateAuthority" => Ok(Keys::Authority),
            other => Err(ServiceError::not_supported(&format!(
                "authentication.type {other:?} (sas and certificateAuthority are)"
            ))),
        }
    }

    /// The spec of a new device.
    pub(crate) fn spec(&self) -> Result<DeviceSpec, ServiceError> {
        let symmetric_keys = match self.keys()? {
            Keys::Symmetric(primary, secondary) => Some(Box::new(keys(primary, secondary, None)?)),
            Keys::Unchanged => Some(Box::new(keys(None, None, None)?)),
            Keys::Authority => None,
        };
        let reason = self.status_reason.clone().map(|reason| (STATUS_REASON.to_owned(), reason));
        let metadata = reason.into_iter().collect();
        Ok(DeviceSpec { blocked: self.blocked()?, metadata, symmetric_keys, ..DeviceSpec::default() })
    }

    /// The patch of an existing device.
    pub(crate) fn patch(&self, before: &DeviceSpec) -> Result<DevicePatch, ServiceError> {
        let symmetric_keys = match self.keys()? {
            Keys::Symmetric(primary, secondary) => {
                Some(Some(Box::new(keys(primary, secondary, before.symmetric_keys.as_deref())?)))
            }
            Keys::Authority => Some(None),
            Keys::Unchanged => None,
        };
        let blocked = self.status.as_ref().map(|_| self.blocked()).transpose()?;
        let metadata_keys = BTreeMap::from([(STATUS_REASON.to_owned(), self.status_reason.clone())]);
        Ok(DevicePatch { blocked, metadata_keys, symmetric_keys, ..DevicePatch::default() })
    }
}

fn keys(
    primary: Option<String>,
    secondary: Option<String>,
    before: Option<&SymmetricKeys>,
) -> Result<SymmetricKeys, ServiceError> {
    let made = match before {
        Some(before) => before.clone(),
        None => symmetric::generate().map_err(|error| ServiceError::invalid(error.to_string()))?,
    };
    let checked = |given: Option<String>, made: SymmetricKey| match given {
        None => Ok(made),
        Some(key) if STANDARD.decode(&key).is_ok_and(|bytes| KEY_BYTES.contains(&bytes.len())) => {
            Ok(SymmetricKey(key.into()))
        }
        Some(_) => Err(ServiceError::invalid("a symmetric key is base64 of 16 to 64 bytes")),
    };
    Ok(SymmetricKeys { primary: checked(primary, made.primary)?, secondary: checked(secondary, made.secondary)? })
}

/// A time in milliseconds since the Unix epoch, in Azure's format.
pub(crate) fn time(ms: Option<u64>) -> Value {
    ms.map_or_else(|| NEVER.into(), clock::rfc3339).into()
}

pub(crate) fn status(spec: &DeviceSpec) -> &'static str {
    if spec.blocked { "disabled" } else { "enabled" }
}

pub(crate) fn status_reason(spec: &DeviceSpec) -> Option<&String> {
    spec.metadata.get(STATUS_REASON)
}

pub(crate) fn connection_state(app: &App, device: &Device) -> &'static str {
    if app.handles.delivery.is_connected(device.num) { "Connected" } else { "Disconnected" }
}

pub(crate) fn authentication_type(spec: &DeviceSpec) -> &'static str {
    if spec.symmetric_keys.is_some() { "sas" } else { "certificateAuthority" }
}

/// When the host last received something from the device.
pub(crate) fn last_activity(device: &Device) -> Value {
    let seen = device.seen();
    time(seen.event_ms.max(seen.heartbeat_ms))
}

/// The identity as JSON.
pub(crate) fn to_json(app: &App, device: &Device, registered: &Registered) -> Value {
    let spec = &registered.spec;
    let key =
        |pick: fn(&SymmetricKeys) -> &SymmetricKey| spec.symmetric_keys.as_ref().map(|keys| pick(keys).0.to_string());
    json!({
        "deviceId": device.name.id.as_str(),
        "generationId": device.num.num_id().to_string(),
        "etag": etag::of_identity(registered),
        "connectionState": connection_state(app, device),
        "status": status(spec),
        "statusReason": status_reason(spec),
        "connectionStateUpdatedTime": NEVER,
        "statusUpdatedTime": NEVER,
        "lastActivityTime": last_activity(device),
        "cloudToDeviceMessageCount": waiting_messages(app, device),
        "capabilities": { "iotEdge": false },
        "authentication": {
            "type": authentication_type(spec),
            "symmetricKey": { "primaryKey": key(|keys| &keys.primary), "secondaryKey": key(|keys| &keys.secondary) },
            "x509Thumbprint": { "primaryThumbprint": null, "secondaryThumbprint": null },
        },
    })
}

/// Messages that wait for the device.
pub(crate) fn waiting_messages(app: &App, device: &Device) -> usize {
    app.handles.delivery.open_commands_of(device.num)
}
