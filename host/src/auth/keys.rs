//! Public keys and certificates as an operator registers them: reads PEM, says what is wrong with it. Pure.

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject};
use x509_cert::{
    Certificate,
    der::{Decode, Reader, SliceReader, asn1::UintRef, oid::ObjectIdentifier},
    spki::SubjectPublicKeyInfoRef,
};

use crate::model::{
    limits,
    registry::{Credential, KeyFormat},
};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// The smallest RSA modulus, bits.
const RSA_BITS: usize = 2_048;
/// The largest RSA modulus, bits: what the signature library takes.
const RSA_BITS_MAX: usize = 8_192;

/// How a key signs. It belongs to the key: what a token says of itself does not choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    /// As a token's header writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A key that signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub algorithm: Algorithm,
    /// RSA: modulus and exponent in DER (PKCS #1); EC: the uncompressed point.
    pub bytes: Vec<u8>,
}

/// A credential that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub key: PublicKey,
    /// The whole certificate in DER, where it is one.
    pub certificate: Option<CertificateDer<'static>>,
    /// Until when it counts: its expiry and, where it is a certificate, that one's own; the earlier. Milliseconds since
    /// the Unix epoch.
    pub expires_ms: Option<u64>,
}

/// What is wrong with a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is larger than {} bytes", limits::CREDENTIAL_BYTES)]
    TooLarge,
    #[error("this is a private key; register the public one, and keep this to the device")]
    Private,
    #[error("the key must be PEM with -----BEGIN {0}-----")]
    Pem(&'static str),
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    #[error("the key's format says {expected}, but it holds {found}")]
    Kind { expected: &'static str, found: &'static str },
    #[error("an RSA key must have {RSA_BITS} to {RSA_BITS_MAX} bits, not {0}")]
    RsaBits(usize),
    #[error("the key cannot be read")]
    Malformed,
}

impl From<x509_cert::der::Error> for KeyError {
    fn from(_: x509_cert::der::Error) -> Self {
        Self::Malformed
    }
}

/// Reads a registered credential.
pub fn parse(credential: &Credential) -> Result<Parsed, KeyError> {
    let pem = credential.key.as_bytes();
    if pem.len() > limits::CREDENTIAL_BYTES {
        return Err(KeyError::TooLarge);
    }
    if credential.key.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let (expected, wrapped) = match credential.format {
        KeyFormat::RsaPem => (Algorithm::Rs256, false),
        KeyFormat::RsaX509Pem => (Algorithm::Rs256, true),
        KeyFormat::Es256Pem => (Algorithm::Es256, false),
        KeyFormat::Es256X509Pem => (Algorithm::Es256, true),
    };
    let parsed = if wrapped {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| KeyError::Pem("CERTIFICATE"))?;
        let certificate = certificate(&der)?;
        let own = not_after_ms(&certificate);
        let expires_ms = Some(credential.expires_ms.map_or(own, |expires| expires.min(own)));
        let key = key_of(&certificate)?;
        Parsed { key, certificate: Some(der), expires_ms }
    } else {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::Pem("PUBLIC KEY"))?;
        let key = public_key(SubjectPublicKeyInfoRef::try_from(der.as_ref()).map_err(|_| KeyError::Malformed)?)?;
        Parsed { key, certificate: None, expires_ms: credential.expires_ms }
    };
    match (expected, parsed.key.algorithm) {
        (expected, found) if expected == found => Ok(parsed),
        (Algorithm::Rs256, _) => Err(KeyError::Kind { expected: "RSA", found: "an EC key" }),
        (Algorithm::Es256, _) => Err(KeyError::Kind { expected: "ES256", found: "an RSA key" }),
    }
}

pub(super) fn certificate(der: &[u8]) -> Result<Certificate, KeyError> {
    Certificate::from_der(der).map_err(|e| KeyError::Certificate(e.to_string()))
}

pub(super) fn not_after_ms(certificate: &Certificate) -> u64 {
    let at = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

fn key_of(certificate: &Certificate) -> Result<PublicKey, KeyError> {
    use x509_cert::der::Encode;
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der()?;
    public_key(SubjectPublicKeyInfoRef::try_from(spki.as_slice()).map_err(|_| KeyError::Malformed)?)
}

fn public_key(spki: SubjectPublicKeyInfoRef<'_>) -> Result<PublicKey, KeyError> {
    let bytes = spki.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
    let algorithm = match spki.algorithm.oid {
        RSA => {
            check_rsa(bytes)?;
            Algorithm::Rs256
        }
        EC if spki.algorithm.parameters_oid() == Ok(P256) => {
            check_point(bytes)?;
            Algorithm::Es256
        }
        EC => return Err(KeyError::Kind { expected: "ES256", found: "an EC key on another curve than P-256" }),
        _ => return Err(KeyError::Kind { expected: "RSA or ES256", found: "a key of another kind" }),
    };
    Ok(PublicKey { algorithm, bytes: bytes.to_vec() })
}

/// Checks the size now, so that an operator hears of it and not the device.
fn check_rsa(der: &[u8]) -> Result<(), KeyError> {
    let mut reader = SliceReader::new(der)?;
    let bytes = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?.as_bytes().len();
        UintRef::decode(inner)?;
        Ok::<_, x509_cert::der::Error>(modulus)
    })?;
    let bits = bytes * 8;
    if (RSA_BITS..=RSA_BITS_MAX).contains(&bits) { Ok(()) } else { Err(KeyError::RsaBits(bits)) }
}

/// Uncompressed: a mark and two coordinates.
fn check_point(point: &[u8]) -> Result<(), KeyError> {
    if point.len() == 65 && point.first() == Some(&4) { Ok(()) } else { Err(KeyError::Malformed) }
}
