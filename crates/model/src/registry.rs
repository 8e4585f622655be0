//! A device's and a registry's own data, as an operator writes it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use switchbox_rules::names::DeviceId;

use super::symmetric::SymmetricKeys;

/// What an operator says of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    pub blocked: bool,
    pub metadata: BTreeMap<String, String>,
    pub credentials: Vec<Credential>,
    pub gateway: Option<GatewayAuth>,
    /// `NONE`, `ERROR`, `INFO` or `DEBUG`, kept as given.
    pub log_level: Option<String>,
    /// Secrets that the device signs with.
    #[serde(default)]
    pub symmetric_keys: Option<Box<SymmetricKeys>>,
}

/// The field of a device's metadata that says that the device enrolled by itself.
pub const ENROLLED: &str = "switchbox-enrolled";

/// A key of metadata that an update mask cannot name: masks are separated by commas, and each of their paths is trimmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metadata key {0:?} is empty, has a comma, or begins or ends with a space")]
pub struct InvalidMetadataKey(String);

/// # Errors
///
/// An update mask could not name the key.
pub fn check_metadata_key(key: &str) -> Result<(), InvalidMetadataKey> {
    let is_valid = !key.is_empty() && !key.contains(',') && key.trim() == key;
    is_valid.then_some(()).ok_or_else(|| InvalidMetadataKey(key.chars().take(80).collect()))
}

impl DeviceSpec {
    /// Of a device that enrols by itself.
    #[must_use]
    pub fn enrolled() -> Self {
        Self { metadata: BTreeMap::from([(ENROLLED.to_owned(), "by itself".to_owned())]), ..Self::default() }
    }

    /// Whether the device enrolled by itself and no operator has changed it since.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        self.metadata.contains_key(ENROLLED) && *self == Self::enrolled()
    }
}

/// Where a device's methods are called over HTTP instead of MQTT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodEndpoint {
    /// `http://…` or `https://…`, checked.
    pub url: String,
}

/// What an operator says of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistrySpec {
    /// `NONE`, `ERROR`, `INFO` or `DEBUG`, kept as given.
    pub log_level: Option<String>,
    /// Its devices may not use the HTTP bridge.
    pub http_disabled: bool,
    /// Certificates of authorities, PEM.
    pub authorities: Vec<String>,
    /// Where Google's service would publish telemetry: kept for its client libraries, without effect here.
    pub event_topics: Vec<EventTopic>,
    /// The topic to which Google's service would publish states.
    pub state_topic: Option<String>,
    /// Secrets that programs sign with which may do something with the whole registry, by their names.
    pub access_keys: BTreeMap<String, SymmetricKeys>,
}

/// One of a registry's `eventNotificationConfigs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTopic {
    pub topic: String,
    /// Empty = all that no other names.
    pub subfolder: String,
}

/// One public key of a device, or what its certificate is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    pub format: KeyFormat,
    /// PEM text; of a fingerprint, hexadecimal digits.
    pub key: String,
    /// Milliseconds since the Unix epoch. `None` if it does not expire.
    pub expires_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KeyFormat {
    RsaPem,
    RsaX509Pem,
    Es256Pem,
    Es256X509Pem,
    /// The SHA-1 or SHA-256 digest of a client certificate in DER.
    X509Fingerprint,
}

impl KeyFormat {
    #[must_use]
    pub fn is_certificate(self) -> bool {
        matches!(self, Self::RsaX509Pem | Self::Es256X509Pem)
    }
}

/// The gateway over which something was last received from a device, and when, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayAccess {
    pub gateway: DeviceId,
    pub time_ms: u64,
}

/// What is kept of a password: an argon2id hash with its salt and its costs, in the PHC form. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(pub Arc<str>);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// What an operator says of a service account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    pub disabled: bool,
    pub credentials: Vec<Credential>,
    /// Topic filters that it may publish to.
    pub publish: Vec<String>,
    /// Topic filters that it may subscribe, and what they cover.
    pub subscribe: Vec<String>,
}

/// What last went wrong with a device, for its operator to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceError {
    pub time_ms: u64,
    pub kind: ErrorKind,
    pub message: String,
}

/// The codes of `google.rpc.Code` that a device's errors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// It sent bytes that are not valid MQTT.
    InvalidArgument,
    /// It used a topic of another device, or its authorisation ended.
    PermissionDenied,
    /// The device is not authenticated.
    Unauthenticated,
}

/// How a gateway may speak for a device; its presence makes a device a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GatewayAuth {
    AssociationOnly,
    DeviceAuthTokenOnly,
    AssociationAndDeviceAuthToken,
}
