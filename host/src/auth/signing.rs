//! The other side of a token: a private key signs one. For the command line and for tests; the host itself never has a
//! device's private key.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

use super::keys::Algorithm;

/// A device's private key.
pub struct SigningKey(Pair);

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("there is no private key in PEM in it (-----BEGIN PRIVATE KEY-----)")]
    Pem,
    #[error("the key is in the old EC form; convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW")]
    OldEc,
    #[error("the key is neither RSA with 2048 bits or more nor EC on the curve P-256")]
    Kind,
    #[error("the key cannot sign")]
    Sign,
}

impl SigningKey {
    /// Reads PKCS #8, or an RSA key in PKCS #1.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| Error::Pem)?;
        let pair = match &der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Box::new).map(Pair::Rsa).ok(),
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let ec = || {
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
                        .map(Box::new)
                        .map(Pair::Ec)
                };
                RsaKeyPair::from_pkcs8(der).map(Box::new).map(Pair::Rsa).or_else(|_| ec()).ok()
            }
            PrivateKeyDer::Sec1(_) => return Err(Error::OldEc),
            _ => None,
        };
        pair.map(Self).ok_or(Error::Kind)
    }

    fn algorithm(&self) -> Algorithm {
        match self.0 {
            Pair::Rsa(_) => Algorithm::Rs256,
            Pair::Ec(_) => Algorithm::Es256,
        }
    }

    /// A token for this audience, from and to seconds since the Unix epoch.
    pub fn token(&self, audience: &str, issued_secs: u64, expires_secs: u64) -> Result<String, Error> {
        let header = serde_json::json!({"alg": self.algorithm().name(), "typ": "JWT"});
        let claims = serde_json::json!({"aud": audience, "iat": issued_secs, "exp": expires_secs});
        self.sign(&header, &claims)
    }

    /// A token with this header and these claims, whatever they are.
    pub fn sign(&self, header: &serde_json::Value, claims: &serde_json::Value) -> Result<String, Error> {
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).map_err(|_| Error::Sign)?;
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, signed.as_bytes()).map_err(|_| Error::Sign)?.as_ref().to_vec(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
