//! The token of a device that is not registered yet and brings a public key: a JSON Web Token, signed by a key of its enrolment
//! (HS256). Only the form is read here; the signature is checked with the enrolment's keys.

use serde::Deserialize;

use super::{
    jwt::{JwtError, Part, decode, json},
    symmetric::{Signed, Signer},
};
use switchbox_model::limits::TOKEN_LIFE_SECS;

/// A token that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    /// The registry that it is for.
    pub audience: String,
    pub registration_id: String,
    pub public_key: PublicKeyClaim,
    pub signed: Signed,
}

/// The key with which the device proves itself from its registration on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PublicKeyClaim {
    pub format: String,
    /// PEM.
    pub key: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    sub: String,
    exp: u64,
    #[serde(rename = "publicKey")]
    public_key: PublicKeyClaim,
}

/// Reads a token. `now_secs`: seconds since the Unix epoch.
pub fn read(token: &str, now_secs: u64) -> Result<RegistrationToken, JwtError> {
    let parts: Vec<&str> = token.trim().split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return Err(JwtError::Parts(parts.len())) };
    let Header { alg } = json(Part::Header, header)?;
    if alg != "HS256" {
        return Err(JwtError::RegistrationAlgorithm(alg.chars().take(20).collect()));
    }
    let Claims { aud, sub, exp, public_key } = json(Part::Claims, claims)?;
    let lasts = exp.saturating_sub(now_secs);
    if lasts > TOKEN_LIFE_SECS {
        return Err(JwtError::TooLong(lasts));
    }
    let text = format!("{header}.{claims}").into_bytes();
    let signed = Signed::new(Signer::Device, text, decode(Part::Signature, signature)?, exp);
    Ok(RegistrationToken { audience: aud, registration_id: sub, public_key, signed })
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        [header, claims, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    #[test]
    fn a_token_says_which_device_registers_with_which_key() {
        let claims = r#"{"aud":"hall","sub":"lamp-1","exp":1060,"publicKey":{"format":"ES256_PEM","key":"pem"}}"#;
        let valid = token(r#"{"alg":"HS256","typ":"JWT"}"#, claims);
        let read_token = read(&valid, 1_000).ok().unwrap();
        assert_eq!((&*read_token.audience, &*read_token.registration_id), ("hall", "lamp-1"));
        assert_eq!((&*read_token.public_key.format, &*read_token.public_key.key), ("ES256_PEM", "pem"));
        let Signed { text, signature, expires_ms, .. } = read_token.signed;
        assert_eq!((text.as_slice(), expires_ms), (valid.rsplit_once('.').unwrap().0.as_bytes(), 1_060_000));
        assert_eq!(signature, b"signature");
        for (wrong, part) in [
            (token(r#"{"alg":"none"}"#, claims), "HS256"),
            (token(r#"{"alg":"HS256"}"#, r#"{"aud":"hall"}"#), "JSON"),
            (token(r#"{"alg":"HS256"}"#, &claims.replace("1060", "99999999")), "more than"),
            ("a.b".to_owned(), "2 parts"),
        ] {
            let error = read(&wrong, 1_000).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
