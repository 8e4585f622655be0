//! What a client certificate is known by: the digest of its DER, as an operator registers it. Pure.

use rustls::pki_types::CertificateDer;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A SHA-1 or SHA-256 digest. The client has shown in the TLS handshake that it holds the certificate's key. To use another certificate, an
/// attacker would need a second preimage of the registered one's SHA-1 digest, and no way to find one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// Reads hexadecimal digits, with or without colons. Returns `None` if they are not those of a SHA-1 or SHA-256 digest.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.trim().chars().filter(|c| *c != ':').map(nibble).collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        let lengths = [Sha1::output_size(), Sha256::output_size()];
        (rest.is_empty() && lengths.contains(&bytes.len())).then_some(Self(bytes))
    }

    /// Whether the certificate has this digest.
    #[must_use]
    pub fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.0.len() == Sha256::output_size() {
            Sha256::digest(certificate).as_slice() == self.0
        } else {
            Sha1::digest(certificate).as_slice() == self.0
        }
    }
}

fn nibble(digit: char) -> Option<u8> {
    digit.to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_or_without_colons() {
        let abc = CertificateDer::from(b"abc".to_vec());
        let of = |text: &str| Fingerprint::parse(text).map(|fingerprint| fingerprint.is_of(&abc));
        assert_eq!(of("A9993E364706816ABA3E25717850C26C9CD0D89D"), Some(true));
        assert_eq!(of("a9:99:3e:36:47:06:81:6a:ba:3e:25:71:78:50:c2:6c:9c:d0:d8:9d\n"), Some(true));
        assert_eq!(of("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), Some(true));
        assert_eq!(of("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae"), Some(false));
        for wrong in ["", "a9", "A9993E364706816ABA3E25717850C26C9CD0D89", "G9993E364706816ABA3E25717850C26C9CD0D89D"] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
