//! Which credentials can be registered, and which tokens get a device in.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use ring::hmac;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::{ec_pair, rsa_pair};
use crate::{
    jwt::{self, JwtError},
    keys::{self, KeyError},
    pem::PemError,
    signing::SigningKey,
};
use switchbox_model::registry::{Credential, KeyFormat};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3_600;
const SKEW: u64 = 600;

fn verify(token: &str, credentials: &[&Credential]) -> Result<jwt::Verified, JwtError> {
    let keys: Vec<_> = credentials.iter().map(|credential| keys::parse(credential).unwrap().key.unwrap()).collect();
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
        (json!({"aud": "local", "iat": NOW.to_string(), "exp": format!("{}", NOW + 60)}), Ok(NOW + 60 + SKEW)),
    ] {
        let token = key.sign(&json!({"alg": "ES256", "typ": "JWT"}), &claims).unwrap();
        let expires_at = verify(&token, &[&public]).map(|verified| verified.expires_at_ms / 1_000);
        assert_eq!(expires_at, expect, "{claims}");
    }
}

#[test]
fn a_wrong_time_is_named() {
    let (private, public) = ec_pair();
    let key = SigningKey::from_pem(private.as_bytes()).unwrap();
    for (claims, part) in [
        (
            json!({"iat": NOW * 1_000, "exp": (NOW + 60) * 1_000}),
            "the token's iat is 1800000000000: this looks like milliseconds",
        ),
        (
            json!({"iat": NOW, "exp": ((NOW + 60) * 1_000).to_string()}),
            "exp is \"1800000060000\": this looks like milliseconds",
        ),
        (json!({"iat": -1, "exp": NOW}), "iat is -1: no time in seconds"),
        (json!({"iat": NOW, "exp": 1e300}), "exp is 1e+300: no time in seconds"),
        (json!({"iat": NOW, "exp": "soon"}), "exp is \"soon\": it must be a number of seconds"),
        (json!({"iat": "2027-01-15T08:00:00Z", "exp": NOW}), "iat is \"2027-01-15T08:00:00Z\": it must be a number"),
        (json!({"iat": NOW, "exp": [NOW]}), "exp is [1800000000]: it must be a number"),
        (json!({"iat": null, "exp": NOW}), "the token has no iat"),
    ] {
        let mut claims = claims;
        claims["aud"] = json!("local");
        let token = key.sign(&json!({"alg": "ES256"}), &claims).unwrap();
        let error = verify(&token, &[&public]).unwrap_err().to_string();
        assert!(error.contains(part), "{claims}: {error}");
    }
}

/// A token whose parts are written as these functions do it; the signature is over the bytes as they are sent.
fn written(private: &str, part: fn(&[u8]) -> String, signed: fn(Vec<u8>) -> Vec<u8>) -> String {
    // The names of the claims make both alphabets differ, and both parts need padding.
    let header = json!({"alg": "ES256", "typ": "JWT", "x": "??>"});
    let claims = json!({"aud": "local", "iat": NOW, "exp": NOW + 60, "x": "~~~??>>"});
    let text = format!("{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()));
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(private.as_bytes()).unwrap();
    let random = ring::rand::SystemRandom::new();
    let scheme = &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(scheme, der.secret_pkcs8_der(), &random).unwrap();
    let signature = pair.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec();
    format!("{text}.{}", part(&signed(signature)))
}

/// Two numbers in ASN.1, as mbedTLS and OpenSSL write a signature.
fn in_der(fixed: Vec<u8>) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let significant = bytes.iter().skip_while(|byte| **byte == 0).copied();
        let mut value: Vec<u8> = significant.collect();
        if value.first().is_none_or(|first| *first >= 0x80) {
            value.insert(0, 0);
        }
        [vec![2, u8::try_from(value.len()).unwrap()], value].concat()
    };
    let both = [number(&fixed[..32]), number(&fixed[32..])].concat();
    [vec![0x30, u8::try_from(both.len()).unwrap()], both].concat()
}

#[test]
fn tokens_of_old_libraries_are_taken_as_they_write_them() {
    let (private, public) = ec_pair();
    let plain = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let padded = |bytes: &[u8]| URL_SAFE.encode(bytes);
    let standard = |bytes: &[u8]| STANDARD.encode(bytes);
    let unpadded_standard = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    for part in [plain, padded as fn(&[u8]) -> String, standard, unpadded_standard] {
        for signed in [(|fixed| fixed) as fn(Vec<u8>) -> Vec<u8>, in_der] {
            let token = written(&private, part, signed);
            assert!(jwt::is_token(token.as_bytes()), "taken for a password: {token}");
            assert_eq!(verify(&token, &[&public]).map(|verified| verified.key), Ok(0), "{token}");
            assert_eq!(verify(&format!("{token}\r\n"), &[&public]).map(|verified| verified.key), Ok(0), "{token}");
            // The text that was sent is what was signed: another encoding of the same bytes is not valid.
            let (head, rest) = token.split_once('.').unwrap();
            let other = if head.ends_with('=') { head.trim_end_matches('=').to_owned() } else { format!("{head}=") };
            assert!(verify(&format!("{other}.{rest}"), &[&public]).is_err(), "{token}");
        }
    }
    let short = written(&private, plain, |fixed| fixed[..7].to_vec());
    assert_eq!(verify(&short, &[&public]), Err(JwtError::SignatureSize(7)));
}

#[test]
fn what_is_wrong_with_a_token_is_said_by_its_part() {
    let (private, public) = ec_pair();
    let valid = written(&private, |bytes| URL_SAFE_NO_PAD.encode(bytes), |fixed| fixed);
    let [header, body, signature] = valid.split('.').collect::<Vec<_>>()[..] else { panic!("{valid}") };
    let signed = |header: &Value, claims: &Value| {
        SigningKey::from_pem(private.as_bytes()).unwrap().sign(header, claims).unwrap()
    };
    for (token, part) in [
        (format!("{header}.{body}"), "has 2 parts between dots, not 3; was it cut off?"),
        (format!("{valid}.x"), "has 4 parts"),
        (format!("{header}.{body}.!{signature}"), "the token's signature is not base64"),
        (format!("?{header}.{body}.{signature}"), "the token's header is not base64"),
        (
            format!("{}.{body}.{signature}", part(&json!({"typ": "JWT"}))),
            "header is not the JSON of a token: missing field `alg`",
        ),
        (signed(&json!({"alg": "ES256"}), &json!([])), "claims"),
        (signed(&json!({"alg": "ES256", "crit": ["b64"]}), &json!({})), "extensions (crit)"),
    ] {
        let error = verify(&token, &[&public]).unwrap_err().to_string();
        assert!(error.contains(part), "{token}: {error}");
    }
}

#[test]
fn the_key_decides_the_algorithm_and_nothing_else_signs() {
    let claims = json!({"aud": "local", "iat": NOW, "exp": NOW + 60});
    let (ec, rsa) = (ec_pair(), rsa_pair());
    let sign = |private: &str, alg: &str| {
        SigningKey::from_pem(private.as_bytes()).unwrap().sign(&json!({"alg": alg}), &claims).unwrap()
    };
    let valid = sign(&ec.0, "ES256");
    let [header, body, signature] = valid.split('.').collect::<Vec<_>>()[..] else { panic!("{valid}") };
    let none = |alg: &str| format!("{}.{body}.", part(&json!({ "alg": alg })));
    // The public key, which is public, as the secret of an HMAC.
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
        (valid.clone(), &both[..], Ok(0)),
        (sign(&rsa.0, "RS256"), &both, Ok(1)),
        (sign(&rsa.0, "RS256"), &both[..1], Err(JwtError::NoKey("RS256"))),
        (valid.clone(), &both[1..], Err(JwtError::NoKey("ES256"))),
        (valid.clone(), &[], Err(JwtError::NoKey("ES256"))),
        (sign(&ec_pair().0, "ES256"), &both, Err(JwtError::Signature)),
        (sign(&rsa.0, "ES256"), &both, Err(JwtError::SignatureSize(256))),
        (sign(&ec.0, "RS256"), &both, Err(JwtError::Signature)),
        (none("none"), &both, unsupported("none")),
        (none("None"), &both, unsupported("None")),
        (none("ES256"), &both, Err(JwtError::SignatureSize(0))),
        (confused, &both, unsupported("HS256")),
        (sign(&rsa.0, "RS512"), &both, unsupported("RS512")),
        (format!("{header}.{forged}.{signature}"), &both, Err(JwtError::Signature)),
        (format!("{header}.{body}.{}", "A".repeat(86)), &both, Err(JwtError::Signature)),
        (format!("{header}.{body}"), &both, Err(JwtError::Parts(2))),
        (format!("{valid}.x"), &both, Err(JwtError::Parts(4))),
        (format!("{valid}=="), &both, Ok(0)),
        (critical, &both, Err(JwtError::Critical)),
        (String::new(), &both, Err(JwtError::Parts(1))),
    ] {
        assert_eq!(verify(&token, keys).map(|verified| verified.key), expect, "{token}");
    }
}

#[test]
fn a_password_with_dots_is_no_token() {
    let token = format!("{}.x.y", part(&json!({"alg": "none"})));
    // A header that cannot be read, or a token that was cut off, is a wrong token and no guess at a password.
    let broken = "eyJhbGciOiJFUzI1NiIs";
    for (text, expect) in [
        (token.as_str(), true),
        (&format!("{broken}.x.y"), true),
        (&format!("{broken}.x"), true),
        (broken, false),
        ("a.b.c", false),
        ("secret", false),
        ("", false),
        ("..", false),
    ] {
        assert_eq!(jwt::is_token(text.as_bytes()), expect, "{text}");
    }
    assert!(!jwt::is_token(&[0xff, 0xfe]));
}

#[test]
fn a_credential_is_read_or_refused_with_the_reason() {
    let credential = |format, key: &str| Credential { format, key: key.into(), expires_ms: None };
    let (ec, rsa) = (ec_pair(), rsa_pair());
    let certificate = include_str!("rsa.certificate.pem");
    let kind = |expected, found: &str| Some(KeyError::Kind { expected, found: found.into() });
    let label = |expected, found: &str| Some(KeyError::Label { expected, found: found.into() });
    let pem = |expected, problem| Some(KeyError::Pem { expected, problem });
    for (credential, expect) in [
        (ec.1.clone(), None),
        (rsa.1.clone(), None),
        (credential(KeyFormat::RsaX509Pem, certificate), None),
        (credential(KeyFormat::RsaPem, &ec.1.key), kind("RSA", "an EC key")),
        (credential(KeyFormat::Es256Pem, &rsa.1.key), kind("ES256", "an RSA key")),
        (credential(KeyFormat::Es256X509Pem, certificate), kind("ES256", "an RSA key")),
        (credential(KeyFormat::RsaPem, certificate), label("PUBLIC KEY", "CERTIFICATE")),
        (credential(KeyFormat::RsaX509Pem, &rsa.1.key), label("CERTIFICATE", "PUBLIC KEY")),
        (credential(KeyFormat::Es256Pem, &ec.0), Some(KeyError::Private)),
        (credential(KeyFormat::RsaPem, include_str!("rsa-1024.public.pem")), Some(KeyError::RsaBits(1_024))),
        (
            credential(KeyFormat::Es256Pem, include_str!("p384.public.pem")),
            kind("ES256", "an EC key on the curve P-384 (secp384r1); only P-256 (prime256v1) is accepted"),
        ),
        (
            credential(KeyFormat::Es256Pem, "-----BEGIN PUBLIC KEY-----"),
            pem("PUBLIC KEY", PemError::Unfinished("PUBLIC KEY".into())),
        ),
        (credential(KeyFormat::X509Fingerprint, "Ab:".repeat(20).trim_end_matches(':')), None),
        (credential(KeyFormat::X509Fingerprint, certificate), Some(KeyError::Fingerprint)),
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
fn a_key_that_expired_is_named_in_the_log() {
    let (private, public) = ec_pair();
    let now = switchbox_support::clock::now_ms() / 1_000;
    let token = SigningKey::from_pem(private.as_bytes()).unwrap().token("local", now, now + 60).unwrap();
    let spent = Credential { expires_ms: Some(1_000), ..public };
    let why = crate::proving::by_token("lamp-1", "local", &[spent], token.as_bytes()).unwrap_err().to_string();
    let expect = "lamp-1: no key that is registered and valid fits the token's algorithm ES256; one expired at 1970-01-01T00:00:01.000Z";
    assert!(why.ends_with(expect), "{why}");
}
