//! Which credentials can be registered, and which tokens get a device in.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use super::{ec_pair, rsa_pair};
use crate::{
    auth::{
        jwt::{self, JwtError},
        keys::{self, KeyError},
        signing::SigningKey,
    },
    model::registry::{Credential, KeyFormat},
};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3_600;
const SKEW: u64 = 600;

fn verify(token: &str, credentials: &[&Credential]) -> Result<jwt::Verified, JwtError> {
    let keys: Vec<_> = credentials.iter().map(|credential| keys::parse(credential).unwrap().key).collect();
    jwt::verify(token, &keys, "local", NOW * 1_000)
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn a_token_counts_by_its_audience_and_its_times() {
    let (private, public) = ec_pair();
    let key = SigningKey::from_pem(private.as_bytes()).unwrap();
    let wrong = |found: &str| Err(JwtError::Audience { found: found.into(), expected: "local".into() });
    for (claims, expect) in [
        (json!({"aud": "local", "iat": NOW, "exp": NOW + 60}), Ok(NOW + 60 + SKEW)),
        (json!({"aud": ["x", "local"], "iat": NOW, "exp": NOW + 60}), Ok(NOW + 60 + SKEW)),
        (json!({"aud": "local", "iat": NOW as f64 + 0.5, "exp": NOW + 60}), Ok(NOW + 60 + SKEW)),
        (json!({"aud": "local", "iat": NOW, "exp": NOW + DAY}), Ok(NOW + DAY + SKEW)),
        (json!({"aud": "local", "iat": NOW, "exp": NOW + DAY + 1}), Err(JwtError::TooLong(DAY + 1))),
        (json!({"aud": "local", "iat": NOW - 3_600, "exp": NOW - SKEW + 1}), Ok(NOW + 1)),
        (json!({"aud": "local", "iat": NOW - 3_600, "exp": NOW - SKEW}), Err(JwtError::Expired(SKEW))),
        (json!({"aud": "local", "iat": NOW + SKEW, "exp": NOW + SKEW + 60}), Ok(NOW + 2 * SKEW + 60)),
        (json!({"aud": "local", "iat": NOW + SKEW + 1, "exp": NOW + DAY}), Err(JwtError::NotYet(SKEW + 1))),
        (json!({"aud": "local", "iat": NOW, "nbf": NOW + DAY, "exp": NOW + DAY}), Err(JwtError::NotYet(DAY))),
        (json!({"aud": "local", "iat": NOW + 20, "exp": NOW + 10}), Err(JwtError::Expired(10))),
        (json!({"aud": "other", "iat": NOW, "exp": NOW + 60}), wrong("other")),
        (json!({"aud": ["a", "b"], "iat": NOW, "exp": NOW + 60}), wrong("others")),
        (json!({"iat": NOW, "exp": NOW + 60}), Err(JwtError::Missing("aud"))),
        (json!({"aud": "local", "exp": NOW + 60}), Err(JwtError::Missing("iat"))),
        (json!({"aud": "local", "iat": NOW}), Err(JwtError::Missing("exp"))),
        (json!({"aud": "local", "iat": -1, "exp": NOW}), Err(JwtError::Malformed)),
        (json!({"aud": "local", "iat": NOW, "exp": 1e300}), Err(JwtError::Malformed)),
        (json!({"aud": "local", "iat": NOW, "exp": "soon"}), Err(JwtError::Malformed)),
        (json!([]), Err(JwtError::Malformed)),
    ] {
        let token = key.sign(&json!({"alg": "ES256", "typ": "JWT"}), &claims).unwrap();
        let runs_out = verify(&token, &[&public]).map(|verified| verified.runs_out_ms / 1_000);
        assert_eq!(runs_out, expect, "{claims}");
    }
}

#[test]
fn the_key_decides_the_algorithm_and_nothing_else_signs() {
    let claims = json!({"aud": "local", "iat": NOW, "exp": NOW + 60});
    let (ec, rsa) = (ec_pair(), rsa_pair());
    let sign = |private: &str, alg: &str| {
        SigningKey::from_pem(private.as_bytes()).unwrap().sign(&json!({"alg": alg}), &claims).unwrap()
    };
    let good = sign(&ec.0, "ES256");
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let none = |alg: &str| format!("{}.{body}.", part(&json!({ "alg": alg })));
    // The public key, which everybody may know, as the secret of an HMAC.
    let hmac_header = part(&json!({"alg": "HS256"}));
    let secret = hmac::Key::new(hmac::HMAC_SHA256, rsa.1.key.as_bytes());
    let tag = hmac::sign(&secret, format!("{hmac_header}.{body}").as_bytes());
    let confused = format!("{hmac_header}.{body}.{}", URL_SAFE_NO_PAD.encode(tag));
    let forged = part(&json!({"aud": "local", "iat": NOW, "exp": NOW + 3_600}));
    let critical = SigningKey::from_pem(ec.0.as_bytes()).unwrap();
    let critical = critical.sign(&json!({"alg": "ES256", "crit": ["b64"], "b64": false}), &claims).unwrap();
    let both = [&ec.1, &rsa.1];
    let unsupported = |alg: &str| Err(JwtError::Algorithm(alg.into()));
    for (token, keys, expect) in [
        (good.clone(), &both[..], Ok(0)),
        (sign(&rsa.0, "RS256"), &both, Ok(1)),
        (sign(&rsa.0, "RS256"), &both[..1], Err(JwtError::NoKey("RS256"))),
        (good.clone(), &both[1..], Err(JwtError::NoKey("ES256"))),
        (good.clone(), &[], Err(JwtError::NoKey("ES256"))),
        (sign(&ec_pair().0, "ES256"), &both, Err(JwtError::Signature)),
        (sign(&rsa.0, "ES256"), &both, Err(JwtError::Signature)),
        (sign(&ec.0, "RS256"), &both, Err(JwtError::Signature)),
        (none("none"), &both, unsupported("none")),
        (none("None"), &both, unsupported("None")),
        (none("ES256"), &both, Err(JwtError::Signature)),
        (confused, &both, unsupported("HS256")),
        (sign(&rsa.0, "RS512"), &both, unsupported("RS512")),
        (format!("{header}.{forged}.{signature}"), &both, Err(JwtError::Signature)),
        (format!("{header}.{body}.{}", "A".repeat(86)), &both, Err(JwtError::Signature)),
        (format!("{header}.{body}"), &both, Err(JwtError::Malformed)),
        (format!("{good}.x"), &both, Err(JwtError::Malformed)),
        (format!("{good}=="), &both, Err(JwtError::Malformed)),
        (critical, &both, Err(JwtError::Malformed)),
        (String::new(), &both, Err(JwtError::Malformed)),
        ("..".into(), &both, Err(JwtError::Malformed)),
    ] {
        assert_eq!(verify(&token, keys).map(|verified| verified.key), expect, "{token}");
    }
}

#[test]
fn a_password_with_dots_is_no_token() {
    let token = format!("{}.x.y", part(&json!({"alg": "none"})));
    for (text, expect) in [(token.as_str(), true), ("a.b.c", false), ("secret", false), ("", false), ("..", false)] {
        assert_eq!(jwt::is_token(text.as_bytes()), expect, "{text}");
    }
    assert!(!jwt::is_token(&[0xff, 0xfe]));
}

#[test]
fn a_credential_is_read_or_refused_with_the_reason() {
    let credential = |format, key: &str| Credential { format, key: key.into(), expires_ms: None };
    let (ec, rsa) = (ec_pair(), rsa_pair());
    let certificate = include_str!("rsa.certificate.pem");
    let kind = |expected, found| Some(KeyError::Kind { expected, found });
    for (credential, expect) in [
        (ec.1.clone(), None),
        (rsa.1.clone(), None),
        (credential(KeyFormat::RsaX509Pem, certificate), None),
        (credential(KeyFormat::RsaPem, &ec.1.key), kind("RSA", "an EC key")),
        (credential(KeyFormat::Es256Pem, &rsa.1.key), kind("ES256", "an RSA key")),
        (credential(KeyFormat::Es256X509Pem, certificate), kind("ES256", "an RSA key")),
        (credential(KeyFormat::RsaPem, certificate), Some(KeyError::Pem("PUBLIC KEY"))),
        (credential(KeyFormat::RsaX509Pem, &rsa.1.key), Some(KeyError::Pem("CERTIFICATE"))),
        (credential(KeyFormat::Es256Pem, &ec.0), Some(KeyError::Private)),
        (credential(KeyFormat::RsaPem, include_str!("rsa-1024.public.pem")), Some(KeyError::RsaBits(1_024))),
        (
            credential(KeyFormat::Es256Pem, include_str!("p384.public.pem")),
            kind("ES256", "an EC key on another curve than P-256"),
        ),
        (credential(KeyFormat::Es256Pem, "-----BEGIN PUBLIC KEY-----"), Some(KeyError::Pem("PUBLIC KEY"))),
        (credential(KeyFormat::Es256Pem, &"x".repeat(20_000)), Some(KeyError::TooLarge)),
    ] {
        assert_eq!(keys::parse(&credential).err(), expect, "{}", credential.key);
    }
    let parsed = keys::parse(&credential(KeyFormat::RsaX509Pem, certificate)).unwrap();
    assert_eq!(parsed.key, keys::parse(&rsa.1).unwrap().key);
    assert!(parsed.certificate.is_some() && parsed.expires_ms.is_some());
    let expires_ms = Some(1);
    let sooner = keys::parse(&Credential { expires_ms, ..credential(KeyFormat::RsaX509Pem, certificate) }).unwrap();
    assert_eq!(sooner.expires_ms, expires_ms);
}

#[test]
fn an_old_or_a_wrong_private_key_is_refused_with_what_to_do() {
    let old = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n";
    for (pem, part) in [
        (old, "openssl pkcs8"),
        ("hello", "no private key"),
        (include_str!("rsa.public.pem"), "no private key"),
        ("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "neither RSA"),
    ] {
        let error = SigningKey::from_pem(pem.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
