//! What enrolments ask devices to prove: which of them are for a device, and the keys and certificates that it has. Pure.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::keys;
use switchbox_model::{
    enrollment::{Attestation, Enrollment},
    registry::{Credential, KeyFormat},
    symmetric::{SymmetricKey, SymmetricKeys},
};

/// The individual enrolment of this device, otherwise all group enrolments.
pub(super) fn candidates<'a>(
    enrollments: &'a BTreeMap<String, Enrollment>,
    registration_id: &'a str,
) -> impl Iterator<Item = (&'a String, &'a Enrollment)> {
    let is_its = |enrollment: &Enrollment| enrollment.registration_id.as_deref() == Some(registration_id);
    let has_own = enrollments.values().any(is_its);
    enrollments
        .iter()
        .filter(move |(_, enrollment)| if has_own { is_its(enrollment) } else { enrollment.registration_id.is_none() })
}

/// The keys of one device of a group enrolment: HMAC-SHA256 of its registration id with the keys of the group. Returns `None` if
/// these are not base64.
pub(super) fn derived(keys: &SymmetricKeys, registration_id: &str) -> Option<SymmetricKeys> {
    let of = |key: &SymmetricKey| {
        let key = Zeroizing::new(STANDARD.decode(key.0.as_bytes()).ok()?);
        let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), registration_id.as_bytes());
        Some(SymmetricKey(STANDARD.encode(made).into()))
    };
    Some(SymmetricKeys { primary: of(&keys.primary)?, secondary: of(&keys.secondary)? })
}

/// A certificate as a credential. Returns `None` if it cannot be one.
#[must_use]
pub fn certificate(pem: &str) -> Option<Credential> {
    let as_kind = |format| Credential { format, key: pem.to_owned(), expires_ms: None };
    [KeyFormat::Es256X509Pem, KeyFormat::RsaX509Pem].map(as_kind).into_iter().find(|found| keys::parse(found).is_ok())
}

/// What a certificate proves of one device, or an authority's of many. The error says which kind of certificate is needed.
pub fn of_certificate(pem: String, is_of_device: bool) -> Result<Attestation, String> {
    let is_good = if is_of_device { certificate(&pem).is_some() } else { keys::authority(&pem).is_ok() };
    let what = if is_of_device { "a device's certificate" } else { "an authority's certificate" };
    if is_good { Ok(Attestation::Certificate(pem)) } else { Err(format!("{what} (PEM) is needed")) }
}

pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_one_of_many_is_made_of_theirs_and_its_id() {
        // As Azure's documentation shows it.
        let group = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
        let keys = SymmetricKeys { primary: SymmetricKey(group.into()), secondary: SymmetricKey("AAAA".into()) };
        let derived = derived(&keys, "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6").unwrap();
        assert_eq!(&*derived.primary.0, "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
        assert!(super::derived(&SymmetricKeys { primary: SymmetricKey("?".into()), ..keys }, "x").is_none());
    }

    #[test]
    fn what_is_for_one_device_comes_before_what_is_for_many() {
        let keys = SymmetricKeys { primary: SymmetricKey("AAAA".into()), secondary: SymmetricKey("AAAA".into()) };
        let enrollment = |registration_id: Option<&str>| Enrollment {
            registration_id: registration_id.map(str::to_owned),
            device_id: None,
            attestation: Attestation::Keys(keys.clone()),
            disabled: false,
            payload: None,
            config: None,
            metadata: BTreeMap::new(),
            created_ms: 0,
        };
        let all = BTreeMap::from([
            ("many".to_owned(), enrollment(None)),
            ("one".to_owned(), enrollment(Some("lamp-1"))),
            ("others".to_owned(), enrollment(None)),
        ]);
        let found = |id| candidates(&all, id).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert_eq!(found("lamp-1"), ["one"]);
        assert_eq!(found("lamp-2"), ["many", "others"]);
    }
}
