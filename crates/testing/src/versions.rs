//! Versions of documents, as a host delivers them.

use std::sync::Arc;

use bytes::Bytes;

use switchbox_model::{Cause, DeviceNum};
use switchbox_store::ConfigVersion;

/// A version of a device's config.
#[must_use]
pub fn config_version(version: u64, payload: &str) -> Arc<ConfigVersion> {
    let (payload, cause) = (Bytes::copy_from_slice(payload.as_bytes()), Cause::Api { caller: "test".into() });
    Arc::new(ConfigVersion { device: DeviceNum(1), version, time_ms: 0, payload, cause, acknowledged_ms: None })
}
