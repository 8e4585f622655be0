//! The other side of a token: a private key signs one. For the command line and for tests; the host itself never has a
//! device's private key.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    error::KeyRejected,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use x509_cert::{
    der::{AnyRef, Decode, Error as DerError, Reader, SliceReader, Tag, TagNumber, Tagged, asn1::UintRef},
    spki::AlgorithmIdentifierRef,
};
use zeroize::Zeroizing;

use super::{curve, keys::Algorithm, pem};

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
    #[error("there is no private key in PEM in it: {0}")]
    Pem(#[from] pem::PemError),
    #[error("there is no private key in it, only -----BEGIN {0}-----")]
    Label(String),
    #[error("the file is not text; if it is a key in DER: openssl pkey -inform DER -in OLD -out NEW")]
    NoText,
    #[error("the RSA key is not accepted ({0}); it must have 2048 to 4096 bits")]
    Rsa(String),
    #[error("the key is an EC key on {0}; only P-256 (prime256v1) is accepted")]
    Curve(String),
    #[error("the EC key's number is not valid on the curve P-256")]
    Number,
    #[error("the EC key's public half is not that of its private half")]
    Pair,
    #[error("the key is neither RSA nor EC on the curve P-256")]
    Kind,
    #[error("the key cannot be read: {0}")]
    Malformed(String),
    #[error("the key cannot sign")]
    Sign,
}

impl From<DerError> for Error {
    fn from(error: DerError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// `ECPrivateKey` (RFC 5915).
struct EcKey<'a> {
    secret: &'a [u8],
    parameters: Option<AnyRef<'a>>,
    public: Option<&'a [u8]>,
}

impl<'a> EcKey<'a> {
    fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut reader = SliceReader::new(der)?;
        reader.sequence(|inner| {
            let _version = UintRef::decode(inner)?;
            let secret: AnyRef<'a> = inner.decode()?;
            let mut key = Self { secret: secret.value(), parameters: None, public: None };
            while !inner.is_finished() {
                let field: AnyRef<'a> = inner.decode()?;
                let Tag::ContextSpecific { number, .. } = field.tag() else { continue };
                let value = AnyRef::from_der(field.value())?;
                match number {
                    TagNumber(0) => key.parameters = Some(value),
                    // A bit string begins with how many of its last bits do not count.
                    TagNumber(1) => key.public = value.value().get(1..),
                    _ => {}
                }
            }
            Ok(key)
        })
    }
}

impl SigningKey {
    /// Reads what openssl writes: PKCS #8, RSA in PKCS #1, EC in SEC 1 with or without its parameters before it, each with or
    /// without its public half.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, Error> {
        let text = pem::text(bytes).ok_or(Error::NoText)?;
        let sections = pem::sections(&text)?;
        for section in &sections {
            match section.label {
                "PRIVATE KEY" => return Self::from_pkcs8(&section.der),
                "RSA PRIVATE KEY" => return rsa(RsaKeyPair::from_der(&section.der)),
                "EC PRIVATE KEY" => {
                    let key = EcKey::read(&section.der)?;
                    let before = sections.iter().find(|section| section.label == "EC PARAMETERS");
                    let before = before.map(|section| AnyRef::from_der(&section.der)).transpose()?;
                    // A key that names no curve is one of P-256, or its number is not one of that curve.
                    return ec(&key, key.parameters.or(before), true);
                }
                _ => {}
            }
        }
        Err(Error::Label(sections.first().map_or("", |section| section.label).chars().take(40).collect()))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        const RSA: &str = "1.2.840.113549.1.1.1";
        const EC: &str = "1.2.840.10045.2.1";
        let mut reader = SliceReader::new(der)?;
        let (algorithm, inner) = reader.sequence(|inner| {
            let _version = UintRef::decode(inner)?;
            let algorithm: AlgorithmIdentifierRef<'_> = inner.decode()?;
            let key: AnyRef<'_> = inner.decode()?;
            // Attributes may follow, and the public half again.
            while !inner.is_finished() {
                let _: AnyRef<'_> = inner.decode()?;
            }
            Ok::<_, DerError>((algorithm, key.value()))
        })?;
        match algorithm.oid.to_string().as_str() {
            RSA => rsa(RsaKeyPair::from_der(inner)),
            EC => ec(&EcKey::read(inner)?, algorithm.parameters, false),
            _ => Err(Error::Kind),
        }
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

fn rsa(read: Result<RsaKeyPair, KeyRejected>) -> Result<SigningKey, Error> {
    let pair = read.map_err(|error| Error::Rsa(error.to_string()))?;
    Ok(SigningKey(Pair::Rsa(Box::new(pair))))
}

/// Of a key without its public half that one is computed.
fn ec(key: &EcKey<'_>, parameters: Option<AnyRef<'_>>, may_be_bare: bool) -> Result<SigningKey, Error> {
    if parameters.is_some() || !may_be_bare {
        curve::check(parameters).map_err(Error::Curve)?;
    }
    // Some programs leave zeros at the beginning out.
    let mut secret = Zeroizing::new([0; 32]);
    let at = secret.len().checked_sub(key.secret.len()).ok_or(Error::Number)?;
    secret.get_mut(at..).ok_or(Error::Number)?.copy_from_slice(key.secret);
    let public = curve::public_of(&*secret).ok_or(Error::Number)?;
    if key.public.is_some_and(|stated| curve::point(stated).as_ref() != Some(&public)) {
        return Err(Error::Pair);
    }
    let random = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &*secret, &public, &random);
    Ok(SigningKey(Pair::Ec(Box::new(pair.map_err(|error| Error::Malformed(error.to_string()))?))))
}
