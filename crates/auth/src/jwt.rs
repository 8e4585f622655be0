//! JSON Web Tokens as devices send them: only RS256 and ES256. The key decides the algorithm; a token whose header names another
//! one is refused, so neither `none` nor a public key used as a secret is accepted. Pure.
//!
//! Old device libraries write base64 with padding or in the standard alphabet, and sign as ASN.1. These are taken, since the
//! signature is checked over the bytes as they were sent: no variant accepts a token that the key did not sign.

mod claims;
mod error;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde::{Deserialize, de::DeserializeOwned};

pub use self::error::{JwtError, Part};
use super::keys::{Algorithm, PublicKey};

/// A token that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Which of the keys signed it.
    pub key: usize,
    /// When it runs out, the skew allowed for. Milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood; we understand none.
    crit: Option<serde_json::Value>,
}

/// Both alphabets, with or without padding; one part is in one alphabet.
pub(super) fn decode(part: Part, text: &str) -> Result<Vec<u8>, JwtError> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['+', '/']) { &STANDARD } else { &URL_SAFE };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).map_err(|error| JwtError::Base64(part, error.to_string()))
}

pub(super) fn json<T: DeserializeOwned>(part: Part, text: &str) -> Result<T, JwtError> {
    serde_json::from_slice(&decode(part, text)?).map_err(|error| JwtError::Json(part, error.to_string()))
}

/// True for what is a token and no password: a header, as base64 of a JSON object, and a dot. What is wrong with the rest is then
/// a wrong token, which is not counted as a guessed password.
#[must_use]
pub fn is_token(password: &[u8]) -> bool {
    /// Base64 of the first bytes of a header: `{"`.
    const BEGINNING: &str = "eyJ";
    let Ok(text) = std::str::from_utf8(password) else { return false };
    let Some((first, _)) = text.trim_ascii().split_once('.') else { return false };
    first.starts_with(BEGINNING) || json::<Header>(Part::Header, first).is_ok()
}

/// Checks the token's signature against the keys, and then what it says. `audience` is the project's id.
pub fn verify<'k>(
    token: &str,
    keys: impl IntoIterator<Item = &'k PublicKey>,
    audience: &str,
    now_ms: u64,
) -> Result<Verified, JwtError> {
    // A token that was read from a file often ends in a line break.
    let token = token.trim_ascii();
    let parts = || JwtError::Parts(token.split('.').count());
    let (signed, signature) = token.rsplit_once('.').ok_or_else(parts)?;
    let (first, second) = signed.split_once('.').filter(|(_, second)| !second.contains('.')).ok_or_else(parts)?;
    let header: Header = json(Part::Header, first)?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::Rs256,
        "ES256" => Algorithm::Es256,
        other => return Err(JwtError::Algorithm(other.chars().take(16).collect())),
    };
    if header.crit.is_some() {
        return Err(JwtError::Critical);
    }
    let key = signer(keys, algorithm, signed.as_bytes(), &decode(Part::Signature, signature)?)?;
    let claims: claims::Claims = json(Part::Claims, second)?;
    Ok(Verified { key, expires_at_ms: claims.check(audience, now_ms)? })
}

/// Which of the keys made the signature.
fn signer<'k>(
    keys: impl IntoIterator<Item = &'k PublicKey>,
    algorithm: Algorithm,
    signed: &[u8],
    signature: &[u8],
) -> Result<usize, JwtError> {
    let scheme: &'static dyn VerificationAlgorithm = match (algorithm, signature.len()) {
        (Algorithm::Rs256, _) => &RSA_PKCS1_2048_8192_SHA256,
        (Algorithm::Es256, 64) => &ECDSA_P256_SHA256_FIXED,
        // What mbedTLS and OpenSSL make by themselves.
        (Algorithm::Es256, _) => &ECDSA_P256_SHA256_ASN1,
    };
    let mut fitting = 0;
    for (index, key) in keys.into_iter().enumerate() {
        if key.algorithm != algorithm {
            continue;
        }
        fitting += 1;
        if UnparsedPublicKey::new(scheme, &key.bytes).verify(signed, signature).is_ok() {
            return Ok(index);
        }
    }
    Err(match (fitting, algorithm, signature.len()) {
        (0, ..) => JwtError::NoKey(algorithm.name()),
        (_, Algorithm::Es256, bytes) if !(8..=72).contains(&bytes) => JwtError::SignatureSize(bytes),
        _ => JwtError::Signature,
    })
}
