//! How a device authenticates, in the bodies of the registry's calls: by two symmetric keys, by the thumbprints of two certificates of its
//! own, or by a certificate of one of the registry's authorities. Thumbprints are credentials of the device, the first one is the primary.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ServiceError;
use switchbox_auth::{fingerprint::Fingerprint, symmetric};
use switchbox_model::{
    registry::{Credential, DeviceSpec, KeyFormat},
    symmetric::{SymmetricKey, SymmetricKeys},
};

/// The length of a symmetric key, bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// What a caller sets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthenticationIn {
    #[serde(rename = "type")]
    kind: Option<String>,
    symmetric_key: Option<KeysIn>,
    x509_thumbprint: Option<ThumbprintsIn>,
}

/// A device's or an enrolment's symmetric keys. Each that is missing or empty is generated, unless there is one already.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeysIn {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThumbprintsIn {
    primary_thumbprint: Option<String>,
    secondary_thumbprint: Option<String>,
}

/// What a device proves itself with from now on.
pub(crate) enum Proofs {
    Symmetric(KeysIn),
    /// A certificate with one of these fingerprints.
    Fingerprints(Vec<Credential>),
    /// A certificate of one of the registry's authorities.
    Authority,
    /// The caller did not set it.
    Unchanged,
}

type Keys = Option<Box<SymmetricKeys>>;

impl AuthenticationIn {
    pub(crate) fn proofs(&self) -> Result<Proofs, ServiceError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let thumbprints = self.x509_thumbprint.as_ref();
        let thumbprints = thumbprints.map(|both| [&both.primary_thumbprint, &both.secondary_thumbprint].map(given));
        let thumbprints: Vec<_> = thumbprints.into_iter().flatten().flatten().collect();
        match self.kind.as_deref().unwrap_or(if thumbprints.is_empty() { "sas" } else { "selfSigned" }) {
            "selfSigned" if thumbprints.is_empty() => {
                Err(ServiceError::invalid("authentication.type selfSigned needs a thumbprint in x509Thumbprint"))
            }
            "selfSigned" => {
                Ok(Proofs::Fingerprints(thumbprints.into_iter().map(credential).collect::<Result<_, _>>()?))
            }
            other if !thumbprints.is_empty() => Err(ServiceError::invalid(format!(
                "a device has a thumbprint with authentication.type selfSigned only, not {other:?}"
            ))),
            "sas" => Ok(Proofs::Symmetric(self.symmetric_key.clone().unwrap_or_default())),
            "certificateAuthority" => Ok(Proofs::Authority),
            other => Err(ServiceError::not_supported(&format!(
                "authentication.type {other:?} (sas, selfSigned and certificateAuthority are)"
            ))),
        }
    }
}

fn credential(thumbprint: String) -> Result<Credential, ServiceError> {
    if Fingerprint::parse(&thumbprint).is_none() {
        return Err(ServiceError::invalid("a thumbprint has 40 hexadecimal digits (SHA-1) or 64 (SHA-256)"));
    }
    Ok(Credential { format: KeyFormat::X509Fingerprint, key: thumbprint, expires_ms: None })
}

impl Proofs {
    /// The keys and credentials of a new device.
    pub(crate) fn of_new_device(self) -> Result<(Keys, Vec<Credential>), ServiceError> {
        match self {
            Self::Symmetric(keys) => Ok((Some(Box::new(keys.complete(None)?)), Vec::new())),
            Self::Unchanged => Ok((Some(Box::new(KeysIn::default().complete(None)?)), Vec::new())),
            Self::Fingerprints(credentials) => Ok((None, credentials)),
            Self::Authority => Ok((None, Vec::new())),
        }
    }

    /// What to change of the keys and of the credentials. Credentials that this dialect does not know stay.
    pub(crate) fn patch(self, before: &DeviceSpec) -> Result<(Option<Keys>, Option<Vec<Credential>>), ServiceError> {
        let (keys, added) = match self {
            Self::Unchanged => return Ok((None, None)),
            Self::Symmetric(keys) => (Some(Box::new(keys.complete(before.symmetric_keys.as_deref())?)), Vec::new()),
            Self::Fingerprints(credentials) => (None, credentials),
            Self::Authority => (None, Vec::new()),
        };
        let others = before.credentials.iter().filter(|credential| !is_fingerprint(credential)).cloned();
        let after: Vec<_> = others.chain(added).collect();
        Ok((Some(keys), (after != before.credentials).then_some(after)))
    }
}

fn is_fingerprint(credential: &Credential) -> bool {
    credential.format == KeyFormat::X509Fingerprint
}

impl KeysIn {
    /// `before`: the keys that there are.
    pub(crate) fn complete(self, before: Option<&SymmetricKeys>) -> Result<SymmetricKeys, ServiceError> {
        let made = match before {
            Some(before) => before.clone(),
            None => symmetric::generate().map_err(|error| ServiceError::invalid(error.to_string()))?,
        };
        let checked = |given: Option<String>, made: SymmetricKey| match given.filter(|key| !key.is_empty()) {
            None => Ok(made),
            Some(key) if STANDARD.decode(&key).is_ok_and(|bytes| KEY_BYTES.contains(&bytes.len())) => {
                Ok(SymmetricKey(key.into()))
            }
            Some(_) => Err(ServiceError::invalid("a symmetric key is base64 of 16 to 64 bytes")),
        };
        let (primary, secondary) =
            (checked(self.primary_key, made.primary)?, checked(self.secondary_key, made.secondary)?);
        Ok(SymmetricKeys { primary, secondary })
    }
}

/// The type of authentication.
pub(crate) fn kind(spec: &DeviceSpec) -> &'static str {
    if spec.symmetric_keys.is_some() {
        "sas"
    } else if spec.credentials.iter().any(is_fingerprint) {
        "selfSigned"
    } else {
        "certificateAuthority"
    }
}

pub(crate) fn thumbprints(spec: &DeviceSpec) -> Value {
    let mut found = spec.credentials.iter().filter(|credential| is_fingerprint(credential)).map(|found| &found.key);
    json!({ "primaryThumbprint": found.next(), "secondaryThumbprint": found.next() })
}

pub(crate) fn to_json(spec: &DeviceSpec) -> Value {
    let key =
        |pick: fn(&SymmetricKeys) -> &SymmetricKey| spec.symmetric_keys.as_ref().map(|keys| pick(keys).0.to_string());
    json!({
        "type": kind(spec),
        "symmetricKey": { "primaryKey": key(|keys| &keys.primary), "secondaryKey": key(|keys| &keys.secondary) },
        "x509Thumbprint": thumbprints(spec),
    })
}
