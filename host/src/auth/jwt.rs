//! JSON Web Tokens as devices show them: RS256 and ES256, nothing else. The key decides the algorithm; a token whose
//! header names another one is refused, so neither `none` nor a public key used as a secret gets anybody in. Pure.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;

use super::keys::{Algorithm, PublicKey};
use crate::model::limits::{TOKEN_LIFE_SECS, TOKEN_SKEW_SECS};

/// Why a token is not taken. For the log only: the client is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("the token is malformed")]
    Malformed,
    #[error("the token's algorithm {0:?} is not supported, only RS256 and ES256")]
    Algorithm(String),
    #[error("no key that is registered and valid fits the token's algorithm {0}")]
    NoKey(&'static str),
    #[error("the token's signature is of none of the keys")]
    Signature,
    #[error("the token is for {found:?}, not for {expected:?}")]
    Audience { found: String, expected: String },
    #[error("the token has no {0}")]
    Missing(&'static str),
    #[error("the token ran out {0} s ago")]
    Expired(u64),
    #[error("the token is valid only in {0} s; is the device's clock right?")]
    NotYet(u64),
    #[error("the token is good for {0} s, more than {TOKEN_LIFE_SECS}")]
    TooLong(u64),
}

/// A token that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Which of the keys signed it.
    pub key: usize,
    /// When it runs out, the skew allowed for. Milliseconds since the Unix epoch.
    pub runs_out_ms: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood; we understand none.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    aud: Option<Audience>,
    exp: Option<f64>,
    iat: Option<f64>,
    nbf: Option<f64>,
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)
}

fn header(part: &str) -> Result<Header, JwtError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| JwtError::Malformed)
}

/// True for what is a token and no password: three parts, of which the first is a header.
#[must_use]
pub fn is_token(password: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(password) else { return false };
    match text.split('.').collect::<Vec<_>>().as_slice() {
        [first, _, _] => header(first).is_ok(),
        _ => false,
    }
}

/// Checks the token's signature against the keys, and then what it says. `audience` is the project's id.
pub fn verify<'k>(
    token: &str,
    keys: impl IntoIterator<Item = &'k PublicKey>,
    audience: &str,
    now_ms: u64,
) -> Result<Verified, JwtError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (first, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
    let header = header(first)?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::Rs256,
        "ES256" => Algorithm::Es256,
        other => return Err(JwtError::Algorithm(other.chars().take(16).collect())),
    };
    if header.crit.is_some() {
        return Err(JwtError::Malformed);
    }
    let key = signer(keys, algorithm, signed.as_bytes(), &decode(signature)?)?;
    let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| JwtError::Malformed)?;
    Ok(Verified { key, runs_out_ms: check(&claims, audience, now_ms)? })
}

fn signer<'k>(
    keys: impl IntoIterator<Item = &'k PublicKey>,
    algorithm: Algorithm,
    signed: &[u8],
    signature: &[u8],
) -> Result<usize, JwtError> {
    let mut fitting = 0;
    for (index, key) in keys.into_iter().enumerate() {
        if key.algorithm != algorithm {
            continue;
        }
        fitting += 1;
        let scheme: &'static dyn VerificationAlgorithm = match key.algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        };
        if UnparsedPublicKey::new(scheme, &key.bytes).verify(signed, signature).is_ok() {
            return Ok(index);
        }
    }
    Err(if fitting == 0 { JwtError::NoKey(algorithm.name()) } else { JwtError::Signature })
}

fn check(claims: &Claims, audience: &str, now_ms: u64) -> Result<u64, JwtError> {
    let fits = match &claims.aud {
        None => return Err(JwtError::Missing("aud")),
        Some(Audience::One(one)) => one == audience,
        Some(Audience::Many(many)) => many.iter().any(|one| one == audience),
    };
    if !fits {
        let found = match &claims.aud {
            Some(Audience::One(one)) => one.chars().take(80).collect(),
            _ => "others".to_owned(),
        };
        return Err(JwtError::Audience { found, expected: audience.to_owned() });
    }
    let now = now_ms / 1_000;
    let issued = seconds(claims.iat, "iat")?;
    let expires = seconds(claims.exp, "exp")?;
    let not_before = claims.nbf.map_or(Ok(issued), |nbf| seconds(Some(nbf), "nbf"))?.max(issued);
    if not_before > now + TOKEN_SKEW_SECS {
        return Err(JwtError::NotYet(not_before - now));
    }
    if expires.saturating_add(TOKEN_SKEW_SECS) <= now {
        return Err(JwtError::Expired(now - expires));
    }
    match expires.checked_sub(issued) {
        Some(life) if life > TOKEN_LIFE_SECS => Err(JwtError::TooLong(life)),
        Some(_) => Ok((expires + TOKEN_SKEW_SECS) * 1_000),
        None => Err(JwtError::Expired(issued - expires)),
    }
}

/// A time of the token, whole seconds since the Unix epoch.
fn seconds(value: Option<f64>, name: &'static str) -> Result<u64, JwtError> {
    /// Past the year 9999 nothing is a time.
    const LAST: f64 = 253_402_300_800.0;
    let value = value.ok_or(JwtError::Missing(name))?;
    if !(0.0..LAST).contains(&value) {
        return Err(JwtError::Malformed);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(value as u64)
}
