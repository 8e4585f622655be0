//! Enrolments: devices that are registered when they first ask for it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{hub::SymmetricKeys, scalars::Time};

/// What devices of a registry may prove that are not registered yet.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Enrollment {
    // Bounded by `fields::ID`.
    pub id: Option<String>,
    /// It is for the one device that calls itself so; without this it is for many.
    // Bounded by `fields::ID`.
    pub registration_id: Option<String>,
    /// The id that the one device gets; its registration id where none is given.
    // Bounded by `fields::ID`.
    pub device_id: Option<String>,
    /// The keys that devices sign with. They are made where neither they nor a certificate are given, and shown once, in the answer to
    /// the call that makes the enrolment.
    pub symmetric_keys: Option<SymmetricKeys>,
    /// PEM: the certificate of the one device, or of the authority of many.
    // Bounded by `fields::CREDENTIAL`.
    pub certificate: Option<String>,
    /// No device is registered by it.
    pub disabled: bool,
    /// JSON that a device is told when it is registered.
    // Bounded by `fields::ENROLLMENT`.
    pub payload: Option<String>,
    /// The config that a device is registered with.
    // Bounded by `fields::CONFIG`.
    pub config: Option<String>,
    /// The metadata that a device is registered with.
    // Bounded by `fields::ENROLLMENT`.
    pub metadata: BTreeMap<String, String>,
    /// What a device calls its ID scope. Only the host says it.
    // Bounded by the body: it is thrown away.
    pub id_scope: Option<String>,
    /// Only the host says it.
    pub create_time: Option<Time>,
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListEnrollmentsResponse {
    pub enrollments: Vec<Enrollment>,
    pub next_page_token: Option<String>,
}
