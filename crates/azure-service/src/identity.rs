//! A device's identity in the bodies of the registry's calls.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::App,
    authentication::{self, AuthenticationIn, Proofs},
    documents::NEVER,
    error::ServiceError,
    etag,
};
use switchbox_core::registry::{Device, Registered};
use switchbox_model::{patch::DevicePatch, registry::DeviceSpec};
use switchbox_support::clock;

/// The metadata key of `statusReason`.
const STATUS_REASON: &str = "statusReason";
/// Longest reason, bytes.
const REASON_BYTES: usize = 128;

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
struct CapabilitiesIn {
    iot_edge: Option<bool>,
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

    fn proofs(&self) -> Result<Proofs, ServiceError> {
        self.authentication.as_ref().map_or(Ok(Proofs::Unchanged), AuthenticationIn::proofs)
    }

    /// The spec of a new device.
    pub(crate) fn spec(&self) -> Result<DeviceSpec, ServiceError> {
        let (symmetric_keys, credentials) = self.proofs()?.of_new_device()?;
        let reason = self.status_reason.clone().map(|reason| (STATUS_REASON.to_owned(), reason));
        let metadata = reason.into_iter().collect();
        Ok(DeviceSpec { blocked: self.blocked()?, metadata, symmetric_keys, credentials, ..DeviceSpec::default() })
    }

    /// The patch of an existing device.
    pub(crate) fn patch(&self, before: &DeviceSpec) -> Result<DevicePatch, ServiceError> {
        let (symmetric_keys, credentials) = self.proofs()?.patch(before)?;
        let blocked = self.status.as_ref().map(|_| self.blocked()).transpose()?;
        let metadata_keys = BTreeMap::from([(STATUS_REASON.to_owned(), self.status_reason.clone())]);
        Ok(DevicePatch { blocked, metadata_keys, symmetric_keys, credentials, ..DevicePatch::default() })
    }
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

/// When the host last received something from the device.
pub(crate) fn last_activity(device: &Device) -> Value {
    let seen = device.seen();
    time(seen.event_ms.max(seen.heartbeat_ms))
}

/// The identity as JSON.
pub(crate) fn to_json(app: &App, device: &Device, registered: &Registered) -> Value {
    let spec = &registered.spec;
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
        "authentication": authentication::to_json(spec),
    })
}

/// Messages that wait for the device.
pub(crate) fn waiting_messages(app: &App, device: &Device) -> usize {
    app.handles.delivery.open_commands_of(device.num)
}
