//! Enrolments of a registry: what a device that is not registered yet may prove, and as what it is registered then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use switchbox_rules::names::DeviceId;

use super::symmetric::SymmetricKeys;

/// The field of a device's metadata that says by which enrolment it was registered.
pub const ENROLLMENT: &str = "switchbox-enrollment";

/// What a device proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attestation {
    /// That it signs with one of these keys, or, as one of many, with a key that is made of one of these and its registration id.
    Keys(SymmetricKeys),
    /// PEM: that it has this certificate, or, as one of many, one by this authority that names its registration id.
    Certificate(String),
}

/// One device, or many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// The registration id of the one device. `None` if the enrolment is for many devices.
    pub registration_id: Option<String>,
    /// The id that the one device gets. `None` if that is its registration id.
    pub device_id: Option<DeviceId>,
    pub attestation: Attestation,
    pub disabled: bool,
    /// JSON that a device gets when it is registered.
    pub payload: Option<String>,
    /// The config that a device is registered with.
    pub config: Option<String>,
    /// Metadata that a device is registered with.
    pub metadata: BTreeMap<String, String>,
    pub created_ms: u64,
}
