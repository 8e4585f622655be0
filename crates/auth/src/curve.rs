//! The one elliptic curve that is taken, P-256: known again by its name and by its parameters written out, its points in each
//! of their forms, and the public half of a private key. Pure.

use p256::{PublicKey, SecretKey};
use x509_cert::der::{
    AnyRef, Decode, Error as DerError, Reader, SliceReader, Tag, Tagged,
    asn1::{ObjectIdentifier, UintRef},
};

const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const PRIME_FIELD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.1.1");

/// Others that programs make, so that a refusal can name them.
const OTHERS: [(ObjectIdentifier, &str); 6] = [
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "P-384 (secp384r1)"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521 (secp521r1)"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "secp256k1"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.33"), "P-224 (secp224r1)"),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1"), "P-192 (prime192v1)"),
    (ObjectIdentifier::new_unwrap("1.3.36.3.3.2.8.1.1.7"), "brainpoolP256r1"),
];

/// P-256 (SEC 2, section 2.4.2): the field, the coefficients, the generator and its order. The cofactor is 1.
const P: &[u8] = b"\xff\xff\xff\xff\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
const A: &[u8] = b"\xff\xff\xff\xff\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfc";
const B: &[u8] = b"\x5a\xc6\x35\xd8\xaa\x3a\x93\xe7\xb3\xeb\xbd\x55\x76\x98\x86\xbc\x65\x1d\x06\xb0\xcc\x53\xb0\xf6\x3b\xce\x3c\x3e\x27\xd2\x60\x4b";
const G: &[u8] = b"\x04\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
const N: &[u8] = b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";

/// Returns `Ok` if the curve is P-256; the error says which curve it is instead.
pub(super) fn check(parameters: Option<AnyRef<'_>>) -> Result<(), String> {
    let Some(parameters) = parameters else { return Err("no curve".into()) };
    if parameters.tag() == Tag::Sequence {
        return match is_p256(parameters) {
            Ok(true) => Ok(()),
            Ok(false) => Err("a curve whose parameters are written out and are not those of P-256".into()),
            Err(error) => Err(format!("a curve whose parameters cannot be read ({error})")),
        };
    }
    let oid: ObjectIdentifier = parameters.decode_as().map_err(|_| "a curve without a name")?;
    if oid == P256 {
        return Ok(());
    }
    let name = OTHERS.iter().find(|(other, _)| *other == oid).map(|(_, name)| (*name).to_owned());
    Err(format!("the curve {}", name.unwrap_or_else(|| oid.to_string())))
}

/// `ECParameters` (RFC 3279). All fields are compared, as with another generator anyone could make signatures that verify.
fn is_p256(parameters: AnyRef<'_>) -> Result<bool, DerError> {
    let mut reader = SliceReader::new(parameters.value())?;
    let version = UintRef::decode(&mut reader)?.as_bytes() == [1];
    let field: AnyRef<'_> = reader.decode()?;
    let field = field.sequence(|inner| {
        let kind: ObjectIdentifier = inner.decode()?;
        Ok::<_, DerError>(kind == PRIME_FIELD && UintRef::decode(inner)?.as_bytes() == P)
    })?;
    let curve: AnyRef<'_> = reader.decode()?;
    let curve = curve.sequence(|inner| {
        let (a, b): (AnyRef<'_>, AnyRef<'_>) = (inner.decode()?, inner.decode()?);
        // The seed of the coefficients may follow, and says nothing more of them.
        let _seed: Option<AnyRef<'_>> = if inner.is_finished() { None } else { Some(inner.decode()?) };
        Ok::<_, DerError>(a.value() == A && b.value() == B)
    })?;
    let generator: AnyRef<'_> = reader.decode()?;
    let generator = point(generator.value()).as_deref() == Some(G);
    let order = UintRef::decode(&mut reader)?.as_bytes() == N;
    let cofactor = reader.is_finished() || UintRef::decode(&mut reader)?.as_bytes() == [1];
    reader.finish()?;
    Ok(version && field && curve && generator && order && cofactor)
}

/// The uncompressed form of a point, given compressed, uncompressed or hybrid. `None` if it is not on the curve.
pub(super) fn point(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    if bytes.len() == 65
        && let [mark @ (6 | 7), .., last] = bytes.as_mut_slice()
    {
        // Hybrid: both coordinates, and in the mark the parity of the second.
        if *mark & 1 != *last & 1 {
            return None;
        }
        *mark = 4;
    }
    let key = PublicKey::from_sec1_bytes(&bytes).ok()?;
    Some(key.to_sec1_bytes().into_vec()).filter(|point| point.len() == 65)
}

/// The public point of a private number, uncompressed. `None` if there is none.
pub(super) fn public_of(secret: &[u8]) -> Option<Vec<u8>> {
    Some(SecretKey::from_slice(secret).ok()?.public_key().to_sec1_bytes().into_vec())
}
