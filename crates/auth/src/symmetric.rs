//! What a client signed with a symmetric key instead of showing a password: HMAC-SHA256 by a key of its own, or by an access key
//! of its registry. What the signed text says, the client's dialect has read.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use zeroize::Zeroizing;

use super::password;
use switchbox_model::symmetric::{SymmetricKey, SymmetricKeys};

/// Whose key a client says it signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The device's own.
    Device,
    /// The access key of its registry with this name.
    Registry(String),
}

/// What a client signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    pub text: Vec<u8>,
    pub signature: Vec<u8>,
    /// When it runs out, milliseconds since the Unix epoch.
    pub expires_ms: u64,
    pub signer: Signer,
    /// Some clients sign with the text of a key, and not with the bytes that it encodes. If this is `true`, both are accepted.
    pub key_may_be_text: bool,
}

impl Signed {
    /// What a client signed with the bytes of a key. `expires_secs`: when it runs out, seconds since the Unix epoch.
    #[must_use]
    pub fn new(signer: Signer, text: Vec<u8>, signature: Vec<u8>, expires_secs: u64) -> Self {
        Self { text, signature, expires_ms: expires_secs.saturating_mul(1_000), signer, key_may_be_text: false }
    }

    /// The same, where the client may have signed with the text of the key.
    #[must_use]
    pub fn or_by_text(self) -> Self {
        Self { key_may_be_text: true, ..self }
    }
}

/// Two new keys.
pub fn generate() -> Result<SymmetricKeys, password::Error> {
    Ok(SymmetricKeys { primary: random()?, secondary: random()? })
}

/// One new key of 32 random bytes.
pub fn random() -> Result<SymmetricKey, password::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|e| password::Error::Random(e.to_string()))?;
    Ok(SymmetricKey(STANDARD.encode(bytes.as_ref()).into()))
}

/// Keys to check against if there are none, so that the answer takes as long.
pub(super) fn decoy() -> SymmetricKeys {
    let key = || SymmetricKey("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into());
    SymmetricKeys { primary: key(), secondary: key() }
}

/// The key that made the signature. Both are tried in any case, each in a time that does not depend on the signature.
pub(super) fn signer<'a>(keys: &'a SymmetricKeys, signed: &Signed) -> Option<&'a SymmetricKey> {
    let made_with =
        |key: &[u8]| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed.text, &signed.signature).is_ok();
    let made_by = |key: &&SymmetricKey| {
        let by_bytes = STANDARD.decode(key.0.as_bytes()).map(Zeroizing::new).is_ok_and(|bytes| made_with(&bytes));
        let by_text = signed.key_may_be_text && made_with(key.0.as_bytes());
        by_bytes || by_text
    };
    let [primary, secondary] = keys.both();
    let (first, second) = (made_by(&primary), made_by(&secondary));
    if first { Some(primary) } else { Some(secondary).filter(|_| second) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_key_signs_and_no_other() {
        let (keys, others) = (generate().unwrap(), generate().unwrap());
        let sign = |key: &SymmetricKey, text: &[u8]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(&*key.0).unwrap());
            hmac::sign(&key, text).as_ref().to_vec()
        };
        let signed = |text: &[u8], signature: &[u8], key_may_be_text| Signed {
            text: text.to_vec(),
            signature: signature.to_vec(),
            expires_ms: 0,
            signer: Signer::Device,
            key_may_be_text,
        };
        for key in keys.both() {
            let signature = sign(key, b"hub");
            assert_eq!(signer(&keys, &signed(b"hub", &signature, false)), Some(key));
            assert_eq!(signer(&keys, &signed(b"hub", &signature, true)), Some(key));
            assert_eq!(signer(&others, &signed(b"hub", &signature, true)), None);
            assert_eq!(signer(&keys, &signed(b"hub2", &signature, true)), None);
            assert_eq!(signer(&keys, &signed(b"hub", &signature[1..], true)), None);
            assert_eq!(signer(&keys, &signed(b"hub", &[], true)), None);
            let by_text = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.0.as_bytes()), b"hub").as_ref().to_vec();
            assert_eq!(signer(&keys, &signed(b"hub", &by_text, true)), Some(key));
            assert_eq!(signer(&keys, &signed(b"hub", &by_text, false)), None);
        }
        let broken = SymmetricKeys { primary: SymmetricKey("?".into()), secondary: keys.secondary.clone() };
        let signature = sign(&keys.secondary, b"hub");
        assert_eq!(signer(&broken, &signed(b"hub", &signature, false)), Some(&keys.secondary));
        assert!(!format!("{keys:?}").contains(&*keys.primary.0));
    }
}
