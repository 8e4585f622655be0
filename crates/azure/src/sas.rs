//! Shared access signatures: `SharedAccessSignature sr={resource}&sig={signature}&se={expiry}[&skn={policy}]`. The signature is an
//! HMAC-SHA256 with a symmetric key over the resource as it is written, a line feed and the expiry. The caller looks up the key and
//! checks the expiry.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;

use crate::{
    policy::Policy,
    url_encoding::{decode, encode},
};

const SCHEME: &str = "SharedAccessSignature ";
/// Longest accepted token, bytes.
pub const TOKEN_BYTES: usize = 4 * 1024;

/// Why a token is refused. The text goes to the log, and to callers of the service API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SasError {
    #[error("it must begin with \"SharedAccessSignature \"")]
    Scheme,
    #[error("it is longer than {TOKEN_BYTES} bytes")]
    TooLong,
    #[error("it is not text")]
    NoText,
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("it has {0} twice")]
    Twice(&'static str),
    #[error("its {0} cannot be read")]
    Unreadable(&'static str),
    #[error("it is for another hub or device")]
    Resource,
    #[error("its policy (skn) is not a policy of a hub")]
    Policy,
}

/// A token that was parsed. Its signature is not checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Sas {
    /// The resource as written in the token, which is what is signed.
    written: String,
    /// Decoded.
    resource: String,
    /// Expiry, seconds since the Unix epoch.
    pub expires_secs: u64,
    /// The expiry as written in the token, which is what is signed.
    expires: String,
    pub signature: Vec<u8>,
    /// The policy whose key signed it. `None` if the device's own key did.
    pub policy: Option<Policy>,
}

impl fmt::Debug for Sas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sas").field("resource", &self.resource).finish_non_exhaustive()
    }
}

/// Whether the text looks like a token, valid or not.
#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME.as_bytes()))
}

impl Sas {
    /// Parses a token. The parts may be in any order; unknown parts are ignored.
    pub fn parse(text: &[u8]) -> Result<Self, SasError> {
        if text.len() > TOKEN_BYTES {
            return Err(SasError::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| SasError::NoText)?;
        let parts = is_token(text.as_bytes()).then(|| text.get(SCHEME.len()..)).flatten().ok_or(SasError::Scheme)?;
        let [mut sr, mut sig, mut se, mut skn] = [None; 4];
        for (name, value) in parts.trim().split('&').filter_map(|part| part.split_once('=')) {
            let (place, name) = match name {
                "sr" => (&mut sr, "sr"),
                "sig" => (&mut sig, "sig"),
                "se" => (&mut se, "se"),
                "skn" => (&mut skn, "skn"),
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(SasError::Twice(name));
            }
        }
        let written = sr.ok_or(SasError::Missing("sr"))?;
        let signature = decode(sig.ok_or(SasError::Missing("sig"))?).ok_or(SasError::Unreadable("sig"))?;
        let expires = se.ok_or(SasError::Missing("se"))?;
        let policy = match skn.unwrap_or_default() {
            // A device that is not registered yet writes `registration`.
            "" | "registration" => None,
            name => {
                let name = decode(name).ok_or(SasError::Unreadable("skn"))?;
                Some(Policy::find(&name).ok_or(SasError::Policy)?)
            }
        };
        Ok(Self {
            resource: decode(written).ok_or(SasError::Unreadable("sr"))?.into_owned(),
            written: written.to_owned(),
            expires_secs: expires.parse().map_err(|_| SasError::Unreadable("se"))?,
            expires: expires.to_owned(),
            signature: STANDARD.decode(&*signature).map_err(|_| SasError::Unreadable("sig"))?,
            policy,
        })
    }

    /// The resource of the token, as its signer wrote it: with or without a scheme, a host name and a path.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The bytes that the signature covers.
    #[must_use]
    pub fn signed(&self) -> Vec<u8> {
        signed(&self.written, &self.expires)
    }

    /// Whether the token's resource is this path of the hub or a parent of it: a token for `hub/devices` covers
    /// `hub/devices/lamp-1`. A device's own token must name the device, so that it cannot be used for another one.
    #[must_use]
    pub fn covers(&self, host: &str, path: &str) -> bool {
        let resource = self.resource.trim_end_matches('/');
        let (found, above) = resource.split_once('/').unwrap_or((resource, ""));
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        if !found.eq_ignore_ascii_case(host) {
            return false;
        }
        match path.strip_prefix(above) {
            Some("") => true,
            Some(rest) => self.policy.is_some() && (above.is_empty() || rest.starts_with('/')),
            None => false,
        }
    }
}

/// Creates a token as a client does. `key` is the decoded key.
#[must_use]
pub fn sign(resource: &str, key: &[u8], expires_secs: u64, policy: Option<Policy>) -> String {
    let (written, expires) = (encode(resource).to_string(), expires_secs.to_string());
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed(&written, &expires));
    let signature = STANDARD.encode(signature);
    let mut token = format!("{SCHEME}sr={written}&sig={}&se={expires}", encode(&signature));
    if let Some(policy) = policy {
        token.push_str(&format!("&skn={}", policy.name()));
    }
    token
}

fn signed(written: &str, expires: &str) -> Vec<u8> {
    [written.as_bytes(), b"\n", expires.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    #[test]
    fn a_token_is_read_in_any_order_of_its_parts() {
        let token = sign("hub.example/devices/lamp-1", KEY, 1_900_000_000, None);
        let read = Sas::parse(token.as_bytes()).unwrap();
        assert_eq!((read.expires_secs, read.policy), (1_900_000_000, None));
        assert_eq!(read.signed(), b"hub.example%2Fdevices%2Flamp-1\n1900000000");
        let parts: Vec<_> = token.strip_prefix(SCHEME).unwrap().split('&').collect();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let other = order.map(|at| parts[at]).join("&");
            assert_eq!(Sas::parse(format!("sharedaccesssignature {other}&skn=&x=1").as_bytes()), Ok(read.clone()));
        }
    }

    #[test]
    fn what_is_no_token_is_refused_by_its_part() {
        let sas = |rest: &str| Sas::parse(format!("{SCHEME}{rest}").as_bytes()).unwrap_err();
        for (rest, expect) in [
            ("sig=YQ%3D%3D&se=1", SasError::Missing("sr")),
            ("sr=a&se=1", SasError::Missing("sig")),
            ("sr=a&sig=YQ%3D%3D", SasError::Missing("se")),
            ("sr=a&sr=a&sig=YQ%3D%3D&se=1", SasError::Twice("sr")),
            ("sr=a&sig=YQ%3D%3D&se=soon", SasError::Unreadable("se")),
            ("sr=a&sig=YQ%3D%3D&se=-1", SasError::Unreadable("se")),
            ("sr=a&sig=%FF&se=1", SasError::Unreadable("sig")),
            ("sr=a&sig=?&se=1", SasError::Unreadable("sig")),
            ("sr=%FF&sig=YQ%3D%3D&se=1", SasError::Unreadable("sr")),
            ("sr=a&sig=YQ%3D%3D&se=1&skn=root", SasError::Policy),
            ("", SasError::Missing("sr")),
        ] {
            assert_eq!(sas(rest), expect, "{rest}");
        }
        assert_eq!(Sas::parse(b"secret"), Err(SasError::Scheme));
        assert_eq!(Sas::parse(b"SharedAccessSignature \xff"), Err(SasError::NoText));
        assert_eq!(sas(&"x".repeat(TOKEN_BYTES)), SasError::TooLong);
    }

    #[test]
    fn a_token_covers_its_resource_and_one_of_a_policy_what_is_below() {
        let read = |resource, policy| Sas::parse(sign(resource, KEY, 1, policy).as_bytes()).unwrap();
        for (resource, policy, expect) in [
            ("hub.example/devices/lamp-1", None, true),
            ("HUB.example/devices/lamp-1", None, true),
            ("hub.example/devices/lamp-1", Some(Policy::Device), true),
            ("hub.example/devices", Some(Policy::Device), true),
            ("hub.example/", Some(Policy::Owner), true),
            ("hub.example", Some(Policy::Owner), true),
            ("hub.example", None, false),
            ("hub.example/devices", None, false),
            ("hub.example/devices/lamp", None, false),
            ("hub.example/devices/lamp", Some(Policy::Device), false),
            ("hub.example/devices/lamp-12", Some(Policy::Device), false),
            ("hub.example/devices/lamp-1/modules/arm", None, false),
            ("hub.exampl", Some(Policy::Owner), false),
            ("other.example", Some(Policy::Owner), false),
            ("", Some(Policy::Owner), false),
        ] {
            assert_eq!(read(resource, policy).covers("hub.example", "devices/lamp-1"), expect, "{resource} {policy:?}");
        }
        assert!(read("hub.example", Some(Policy::Owner)).covers("hub.example:443", "devices"));
    }
}
