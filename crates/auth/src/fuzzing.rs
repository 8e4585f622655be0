//! What unauthenticated clients show to get in, read without a connection.

use std::sync::LazyLock;

use super::{
    jwt,
    keys::{self, Algorithm, PublicKey},
    signing::SigningKey,
};
use switchbox_model::registry::{Credential, KeyFormat};

const FORMATS: [KeyFormat; 5] = [
    KeyFormat::RsaPem,
    KeyFormat::RsaX509Pem,
    KeyFormat::Es256Pem,
    KeyFormat::Es256X509Pem,
    KeyFormat::X509Fingerprint,
];
const NOW_MS: u64 = 1_800_000_000_000;

/// The first byte says what is registered.
pub fn keys(data: &[u8]) {
    let Some((kind, pem)) = data.split_first() else { return };
    let _ = SigningKey::from_pem(pem);
    let Ok(text) = std::str::from_utf8(pem) else { return };
    let formats = FORMATS.iter().cycle().skip(usize::from(*kind));
    if let Some(format) = formats.copied().next() {
        let _ = keys::parse(&Credential { format, key: text.to_owned(), expires_ms: None });
    }
}

/// A token as it is, which no key has signed; and these bytes as the claims of one that is signed well.
pub fn tokens(data: &[u8]) {
    static KEY: LazyLock<Option<(SigningKey, PublicKey)>> = LazyLock::new(pair);
    let none = PublicKey { algorithm: Algorithm::Es256, bytes: vec![4; 65] };
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = jwt::is_token(data);
        assert!(jwt::verify(text, [&none], "local", NOW_MS).is_err(), "nobody has signed it");
    }
    if let (Some((key, public)), Ok(claims)) = (KEY.as_ref(), serde_json::from_slice(data))
        && let Ok(token) = key.sign(&serde_json::json!({"alg": "ES256"}), &claims)
    {
        let _ = jwt::verify(&token, [public], "local", NOW_MS);
    }
}

fn pair() -> Option<(SigningKey, PublicKey)> {
    let pair = rcgen::KeyPair::generate().ok()?;
    let public = Credential { format: KeyFormat::Es256Pem, key: pair.public_key_pem(), expires_ms: None };
    Some((SigningKey::from_pem(pair.serialize_pem().as_bytes()).ok()?, keys::parse(&public).ok()?.key?))
}
