//! Client certificates: one that is registered for the device, or one by an authority of the device's registry that names
//! the device as its common name. That the client holds the key was found in the TLS handshake. Pure.

use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{
    auth_context::Proof,
    keys::{self, KeyError, Validity},
};
use switchbox_model::{DeviceId, registry::DeviceSpec};

/// Why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("the certificate cannot be read: {0}")]
    Unreadable(#[from] KeyError),
    #[error("the certificate is not registered for the device, and no registered authority issued it: {0}")]
    Unknown(String),
    #[error("the certificate's common name is {0:?}")]
    CommonName(String),
    #[error("the certificate expired")]
    Expired,
    #[error("the certificate is not valid yet; is this host's clock right?")]
    NotYet,
}

/// An authority's digest, by which it is known again.
pub(super) fn digest(authority: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(authority).into()
}

/// The certificates in a registry's own list; what cannot be read counts for nothing.
pub(super) fn authorities(pems: &[String]) -> Vec<CertificateDer<'static>> {
    pems.iter().filter_map(|pem| Some(keys::authority(pem).ok()?.certificate)).collect()
}

/// What the chain proves, and until when, milliseconds since the Unix epoch. Its first certificate is the client's own.
pub(super) fn prove(
    chain: &[CertificateDer<'_>],
    device: &DeviceId,
    spec: &DeviceSpec,
    authorities: &[CertificateDer<'_>],
    now_ms: u64,
) -> Result<(Proof, u64), CertificateError> {
    let (own, between) = chain.split_first().ok_or_else(|| CertificateError::Unknown("there is none".into()))?;
    let certificate = keys::certificate(own)?;
    for credential in &spec.credentials {
        let Ok(parsed) = keys::parse(credential) else { continue };
        if parsed.certificate.as_ref().is_some_and(|registered| registered.is(own)) {
            // A fingerprint has no times, the certificate that it is of has.
            let (time, expires_ms) = keys::validity(&certificate, now_ms);
            let until_ms = parsed.expires_ms.map_or(expires_ms, |registered| registered.min(expires_ms));
            return match (time, parsed.time(now_ms)) {
                (Validity::NotYet(_), _) | (_, Validity::NotYet(_)) => Err(CertificateError::NotYet),
                (Validity::Expired(_), _) | (_, Validity::Expired(_)) => Err(CertificateError::Expired),
                (Validity::Now, Validity::Now) => Ok((Proof::of(credential), until_ms)),
            };
        }
    }
    let authority = issuer(own, between, authorities, now_ms)?;
    let named = certificate.tbs_certificate().subject().common_name().ok().flatten();
    let named = named.map(|name| name.value().to_string()).unwrap_or_default();
    if named != device.as_str() {
        return Err(CertificateError::CommonName(named.chars().take(80).collect()));
    }
    Ok((Proof::Authority(digest(authority)), keys::not_after_ms(&certificate)))
}

/// The authority that the certificate leads to.
fn issuer<'a>(
    own: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    authorities: &'a [CertificateDer<'a>],
    now_ms: u64,
) -> Result<&'a CertificateDer<'a>, CertificateError> {
    let unknown = |error: webpki::Error| CertificateError::Unknown(error.to_string());
    let end = EndEntityCert::try_from(own).map_err(unknown)?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_millis(now_ms));
    let mut problem = CertificateError::Unknown("there is no authority".into());
    for authority in authorities {
        let Ok(anchor) = anchor_from_trusted_cert(authority) else { continue };
        let usage = KeyUsage::client_auth();
        match end.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], between, now, usage, None, None) {
            Ok(_) => return Ok(authority),
            Err(error) => problem = unknown(error),
        }
    }
    Err(problem)
}
