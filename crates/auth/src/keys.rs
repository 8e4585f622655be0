//! Public keys and certificates as an operator registers them: reads PEM, says what is wrong with it. Pure.

use rustls::pki_types::CertificateDer;
use x509_cert::{
    Certificate,
    der::{Decode, Reader, SliceReader, asn1::UintRef, oid::ObjectIdentifier},
    spki::SubjectPublicKeyInfoRef,
};

use super::{curve, fingerprint::Fingerprint, pem};
use switchbox_model::{
    limits,
    registry::{Credential, KeyFormat},
};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// Others that programs make, so that a refusal can name them.
const OTHERS: [(ObjectIdentifier, &str); 5] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"), "an RSA-PSS key, which cannot sign RS256"),
    (ObjectIdentifier::new_unwrap("1.3.101.112"), "an Ed25519 key"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "an Ed448 key"),
    (ObjectIdentifier::new_unwrap("1.3.101.110"), "an X25519 key, which cannot sign"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "a DSA key"),
];

const CERTIFICATE: &str = "CERTIFICATE";
/// The second is what programs wrote long ago.
const CERTIFICATES: &[&str] = &[CERTIFICATE, "X509 CERTIFICATE"];
const PUBLIC_KEY: &str = "PUBLIC KEY";
/// An RSA key in PKCS #1: `openssl rsa -RSAPublicKey_out`.
const RSA_PUBLIC_KEY: &str = "RSA PUBLIC KEY";

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
    /// `None` for a fingerprint, with which no signature can be checked.
    pub key: Option<PublicKey>,
    /// The client certificate that it admits. `None` for a bare key.
    pub certificate: Option<ClientCertificate>,
    /// From when it counts, where it is a certificate. Milliseconds since the Unix epoch.
    pub starts_ms: Option<u64>,
    /// Until when it counts: its expiry and, where it is a certificate, that one's own; the earlier. Milliseconds since
    /// the Unix epoch.
    pub expires_ms: Option<u64>,
}

impl Parsed {
    /// Whether it counts now.
    #[must_use]
    pub fn time(&self, now_ms: u64) -> Validity {
        Validity::of(self.starts_ms, self.expires_ms, now_ms)
    }
}

/// What the certificate that a client shows is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The whole certificate in DER.
    Whole(CertificateDer<'static>),
    Fingerprint(Fingerprint),
}

impl ClientCertificate {
    /// Whether it is this one.
    #[must_use]
    pub fn is(&self, shown: &CertificateDer<'_>) -> bool {
        match self {
            Self::Whole(certificate) => certificate == shown,
            Self::Fingerprint(fingerprint) => fingerprint.is_of(shown),
        }
    }
}

/// The certificate of an authority, whose key may be of any kind that TLS takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    starts_ms: u64,
    expires_ms: u64,
}

impl Authority {
    #[must_use]
    pub fn time(&self, now_ms: u64) -> Validity {
        Validity::of(Some(self.starts_ms), Some(self.expires_ms), now_ms)
    }
}

/// Whether a credential is valid at a time; otherwise when it becomes valid or has expired, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Now,
    NotYet(u64),
    Expired(u64),
}

impl Validity {
    /// A certificate may begin as much later as a device's clock may be wrong: the machine that made it just now may be ahead.
    fn of(starts_ms: Option<u64>, expires_ms: Option<u64>, now_ms: u64) -> Self {
        match (starts_ms, expires_ms) {
            (Some(starts), _) if starts > now_ms.saturating_add(limits::TOKEN_SKEW_SECS * 1_000) => {
                Self::NotYet(starts)
            }
            (_, Some(expires)) if expires <= now_ms => Self::Expired(expires),
            _ => Self::Now,
        }
    }
}

/// What is wrong with a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key is larger than {} bytes", limits::CREDENTIAL_BYTES)]
    TooLarge,
    #[error("this is a private key; register the public one, and keep this to the device")]
    Private,
    #[error("the key must be PEM with -----BEGIN {expected}-----: {problem}")]
    Pem { expected: &'static str, problem: pem::PemError },
    #[error("the key must be PEM with -----BEGIN {expected}-----, not -----BEGIN {found}-----{}", hint(.expected, .found))]
    Label { expected: &'static str, found: String },
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    #[error("the key's format says {expected}, but it holds {found}")]
    Kind { expected: &'static str, found: String },
    #[error("an RSA key must have {RSA_BITS} to {RSA_BITS_MAX} bits, not {0}")]
    RsaBits(usize),
    #[error("the RSA key's exponent must be an odd number from 3 to 2^33")]
    RsaExponent,
    #[error("the key's point is not on the curve P-256")]
    Point,
    #[error("the key cannot be read: {0}")]
    Malformed(String),
    #[error("a fingerprint has 40 hexadecimal digits (SHA-1) or 64 (SHA-256), with or without colons")]
    Fingerprint,
}

/// What to do with a section of another kind.
fn hint(expected: &str, found: &str) -> &'static str {
    match (expected, found) {
        (_, "EC PARAMETERS") => {
            "; these are a curve's parameters without a key: openssl pkey -in PRIVATE -pubout -out PUBLIC"
        }
        (_, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => {
            "; this is what an authority makes a certificate from"
        }
        (_, "TRUSTED CERTIFICATE") => "; write it anew: openssl x509 -in OLD -out NEW",
        (PUBLIC_KEY, CERTIFICATE) => "; a certificate has the format RSA_X509_PEM or ES256_X509_PEM",
        (CERTIFICATE, PUBLIC_KEY | RSA_PUBLIC_KEY) => "; a bare key has the format RSA_PEM or ES256_PEM",
        _ => "",
    }
}

impl From<x509_cert::der::Error> for KeyError {
    fn from(error: x509_cert::der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Reads a registered credential.
pub fn parse(credential: &Credential) -> Result<Parsed, KeyError> {
    let text = credential.key.as_str();
    if text.len() > limits::CREDENTIAL_BYTES {
        return Err(KeyError::TooLarge);
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let (expected, wrapped) = match credential.format {
        KeyFormat::X509Fingerprint => return parse_fingerprint(credential),
        KeyFormat::RsaPem => (Algorithm::Rs256, false),
        KeyFormat::RsaX509Pem => (Algorithm::Rs256, true),
        KeyFormat::Es256Pem => (Algorithm::Es256, false),
        KeyFormat::Es256X509Pem => (Algorithm::Es256, true),
    };
    let parsed = if wrapped { parse_certificate(text)? } else { parse_key(text)? };
    let expires_ms = parsed.expires_ms.into_iter().chain(credential.expires_ms).min();
    let parsed = Parsed { expires_ms, ..parsed };
    match (expected, parsed.key.as_ref().map(|key| key.algorithm)) {
        (expected, Some(found)) if expected == found => Ok(parsed),
        (Algorithm::Rs256, _) => Err(KeyError::Kind { expected: "RSA", found: "an EC key".into() }),
        (Algorithm::Es256, _) => Err(KeyError::Kind { expected: "ES256", found: "an RSA key".into() }),
    }
}

fn parse_fingerprint(credential: &Credential) -> Result<Parsed, KeyError> {
    let fingerprint = Fingerprint::parse(&credential.key).ok_or(KeyError::Fingerprint)?;
    Ok(Parsed {
        key: None,
        certificate: Some(ClientCertificate::Fingerprint(fingerprint)),
        starts_ms: None,
        expires_ms: credential.expires_ms,
    })
}

/// The first section that has one of these labels, and which.
fn section(text: &str, labels: &[&'static str]) -> Result<(&'static str, Vec<u8>), KeyError> {
    let expected = labels.first().copied().unwrap_or_default();
    let sections = pem::sections(text).map_err(|problem| KeyError::Pem { expected, problem })?;
    let known = |found: &str| labels.iter().copied().find(|label| *label == found);
    let found = sections.iter().find_map(|section| Some((known(section.label)?, section.der.to_vec())));
    found.ok_or_else(|| {
        let found = sections.first().map_or("", |section| section.label).chars().take(40).collect();
        KeyError::Label { expected, found }
    })
}

fn parse_certificate(text: &str) -> Result<Parsed, KeyError> {
    let (_, der) = section(text, CERTIFICATES)?;
    let read = certificate(&der)?;
    Ok(Parsed {
        key: Some(key_of(&read)?),
        starts_ms: Some(not_before_ms(&read)),
        expires_ms: Some(not_after_ms(&read)),
        certificate: Some(ClientCertificate::Whole(CertificateDer::from(der))),
    })
}

fn parse_key(text: &str) -> Result<Parsed, KeyError> {
    let (label, der) = section(text, &[PUBLIC_KEY, RSA_PUBLIC_KEY])?;
    let key = if label == RSA_PUBLIC_KEY {
        check_rsa(&der)?;
        PublicKey { algorithm: Algorithm::Rs256, bytes: der }
    } else {
        public_key(spki(&der)?)?
    };
    Ok(Parsed { key: Some(key), certificate: None, starts_ms: None, expires_ms: None })
}

pub(super) fn certificate(der: &[u8]) -> Result<Certificate, KeyError> {
    Certificate::from_der(der).map_err(|e| KeyError::Certificate(e.to_string()))
}

/// Reads the certificate of an authority.
pub fn authority(text: &str) -> Result<Authority, KeyError> {
    let (_, der) = section(text, CERTIFICATES)?;
    let read = certificate(&der)?;
    let (starts_ms, expires_ms) = (not_before_ms(&read), not_after_ms(&read));
    Ok(Authority { certificate: CertificateDer::from(der), starts_ms, expires_ms })
}

/// Whether the certificate is valid now, and until when, milliseconds since the Unix epoch.
pub(super) fn validity(certificate: &Certificate, now_ms: u64) -> (Validity, u64) {
    let (starts_ms, expires_ms) = (not_before_ms(certificate), not_after_ms(certificate));
    (Validity::of(Some(starts_ms), Some(expires_ms), now_ms), expires_ms)
}

fn not_before_ms(certificate: &Certificate) -> u64 {
    let at = certificate.tbs_certificate().validity().not_before.to_unix_duration();
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn not_after_ms(certificate: &Certificate) -> u64 {
    let at = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

fn spki(der: &[u8]) -> Result<SubjectPublicKeyInfoRef<'_>, KeyError> {
    SubjectPublicKeyInfoRef::try_from(der).map_err(|error| KeyError::Malformed(error.to_string()))
}

fn key_of(certificate: &Certificate) -> Result<PublicKey, KeyError> {
    use x509_cert::der::Encode;
    public_key(spki(&certificate.tbs_certificate().subject_public_key_info().to_der()?)?)
}

fn public_key(spki: SubjectPublicKeyInfoRef<'_>) -> Result<PublicKey, KeyError> {
    let short = || KeyError::Malformed("its number of bits is not a multiple of 8".into());
    let bytes = spki.subject_public_key.as_bytes().ok_or_else(short)?;
    match spki.algorithm.oid {
        RSA => {
            check_rsa(bytes)?;
            Ok(PublicKey { algorithm: Algorithm::Rs256, bytes: bytes.to_vec() })
        }
        EC => {
            curve::check(spki.algorithm.parameters).map_err(|found| KeyError::Kind {
                expected: "ES256",
                found: format!("an EC key on {found}; only P-256 (prime256v1) is accepted"),
            })?;
            let bytes = curve::point(bytes).ok_or(KeyError::Point)?;
            Ok(PublicKey { algorithm: Algorithm::Es256, bytes })
        }
        other => {
            let name = OTHERS.iter().find(|(oid, _)| *oid == other).map(|(_, name)| (*name).to_owned());
            let found = name.unwrap_or_else(|| format!("a key of the kind {other}"));
            Err(KeyError::Kind { expected: "RSA or ES256", found })
        }
    }
}

/// Checks the size now, so that the operator gets the error and not the device.
fn check_rsa(der: &[u8]) -> Result<(), KeyError> {
    /// The largest exponent that the signature library takes.
    const EXPONENT_MAX: u64 = (1 << 33) - 1;
    let mut reader = SliceReader::new(der)?;
    let (bits, exponent) = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?.as_bytes();
        let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        let exponent = UintRef::decode(inner)?.as_bytes();
        Ok::<_, x509_cert::der::Error>((modulus.len() * 8 - unused, exponent.to_vec()))
    })?;
    if !(RSA_BITS..=RSA_BITS_MAX).contains(&bits) {
        return Err(KeyError::RsaBits(bits));
    }
    let exponent = (exponent.len() <= 8).then(|| exponent.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let fits = exponent.is_some_and(|exponent| (3..=EXPONENT_MAX).contains(&exponent) && exponent % 2 == 1);
    if fits { Ok(()) } else { Err(KeyError::RsaExponent) }
}
