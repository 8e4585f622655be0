//! Credentials of devices, programs and authorities.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;
use serde_with::skip_serializing_none;

use super::{
    enums::{CertificateFormat, PublicKeyFormat},
    scalars::Time,
};

/// A public key or certificate of a device or a program.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceCredential {
    pub public_key: PublicKeyCredential,
    /// When it stops being valid; absent or empty: never.
    #[serde(default, deserialize_with = "empty_is_none")]
    pub expiration_time: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublicKeyCredential {
    pub format: PublicKeyFormat,
    // Bounded by `fields::CREDENTIAL`.
    pub key: String,
}

/// The certificate of an authority, which admits devices with certificates that it issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCredential {
    pub public_key_certificate: PublicKeyCertificate,
}

#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicKeyCertificate {
    pub format: CertificateFormat,
    // Bounded by `fields::CREDENTIAL`.
    pub certificate: String,
    /// Accepted and ignored.
    #[serde(rename = "x509Details")]
    // Bounded by the body: it is thrown away.
    pub x509_details: Option<Value>,
}

/// A body without a password removes the password.
#[skip_serializing_none]
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct SetPasswordRequest {
    // Bounded by `fields::PASSWORD`.
    pub password: Option<String>,
}

impl fmt::Debug for SetPasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetPasswordRequest").finish_non_exhaustive()
    }
}

/// Also for a time that is not after the epoch, which Google's API treats as none.
fn empty_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => Ok(Some(text.parse::<Time>().map_err(D::Error::custom)?).filter(|time| time.0 > 0)),
    }
}
