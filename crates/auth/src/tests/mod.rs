//! Keys and tokens as tables: what is taken, and why the rest is not.

mod certificates;
mod openssl;
mod tokens;

use switchbox_model::registry::{Credential, KeyFormat};

/// A key pair on P-256: the private half in PEM, and the public one as it is registered.
pub(super) fn ec_pair() -> (String, Credential) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = pair.public_key_pem();
    (pair.serialize_pem(), Credential { format: KeyFormat::Es256Pem, key, expires_ms: None })
}

/// A key pair made with `openssl genpkey -algorithm RSA`: the library in use makes none.
pub(super) fn rsa_pair() -> (String, Credential) {
    let (private, public) = (include_str!("rsa.private.pem"), include_str!("rsa.public.pem"));
    (private.into(), Credential { format: KeyFormat::RsaPem, key: public.into(), expires_ms: None })
}
