//! Enrolments: devices that are registered when they first ask for it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{hub::SymmetricKeys, scalars::Time};

/// An enrolment: what devices that are not registered yet have to prove.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Enrollment {
    // Bounded by `fields::ID`.
    pub id: Option<String>,
    /// The registration id of the one device that it is for; without it, the enrolment is for many devices.
    // Bounded by `fields::ID`.
    pub registration_id: Option<String>,
    /// The id that the one device gets; by default its registration id.
    // Bounded by `fields::ID`.
    pub device_id: Option<String>,
    /// The keys that devices sign with. They are generated if neither keys nor a certificate are given, and shown once, in the
    /// answer to the call that creates the enrolment.
    pub symmetric_keys: Option<SymmetricKeys>,
    /// PEM: the certificate of the one device, or of the authority of many.
    // Bounded by `fields::CREDENTIAL`.
    pub certificate: Option<String>,
    /// Whether it registers no devices.
    pub disabled: bool,
    /// JSON that a device gets when it is registered.
    // Bounded by `fields::ENROLLMENT`.
    pub payload: Option<String>,
    /// The config that a device is registered with.
    // Bounded by `fields::CONFIG`.
    pub config: Option<String>,
    /// The metadata that a device is registered with.
    // Bounded by `fields::ENROLLMENT`.
    pub metadata: BTreeMap<String, String>,
    /// The ID scope of its devices. Output only.
    // Bounded by the body: it is thrown away.
    pub id_scope: Option<String>,
    /// Output only.
    pub create_time: Option<Time>,
}

/// A device that has registered itself by an enrolment.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterDeviceResponse {
    pub id: String,
    pub name: String,
    /// The payload of the enrolment: JSON.
    pub payload: Option<String>,
}
