//! Keys and certificates in every format that the openssl program writes, as a table.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    jwt,
    keys::{self, Validity},
    signing::SigningKey,
};
use switchbox_model::registry::{Credential, KeyFormat};

const NOW: u64 = 1_800_000_000;

/// Runs openssl in the folder, with words separated by spaces.
fn openssl(folder: &Path, words: &str) {
    let output = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn parse(format: KeyFormat, key: &str) -> Result<keys::Parsed, String> {
    keys::parse(&Credential { format, key: key.into(), expires_ms: None }).map_err(|error| error.to_string())
}

/// The public key that a private one belongs to is the one of these bytes.
fn signs_for(private: &[u8], public: Option<&keys::PublicKey>) {
    let public = public.unwrap();
    let key = SigningKey::from_pem(private).unwrap();
    let claims = json!({"aud": "local", "iat": NOW, "exp": NOW + 60});
    let token = key.sign(&json!({"alg": public.algorithm.name()}), &claims).unwrap();
    assert!(jwt::verify(&token, [public], "local", NOW * 1_000).is_ok());
}

#[test]
fn every_form_of_a_public_key_on_p256_is_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    openssl(at, "ecparam -name prime256v1 -genkey -out sec1.pem");
    openssl(at, "ec -in sec1.pem -pubout -out named.pem");
    let named = parse(KeyFormat::Es256Pem, &read(at, "named.pem")).unwrap();
    let mut texts = vec![];
    for encoding in ["named_curve", "explicit"] {
        for form in ["uncompressed", "compressed", "hybrid"] {
            openssl(at, &format!("ec -in sec1.pem -pubout -param_enc {encoding} -conv_form {form} -out public.pem"));
            texts.push((format!("{encoding} {form}"), read(at, "public.pem")));
        }
    }
    let text = read(at, "named.pem");
    openssl(at, "ecparam -name prime256v1 -out parameters.pem");
    texts.push(("after its parameters".into(), read(at, "parameters.pem") + &text));
    texts.push(("with a byte order mark".into(), format!("\u{feff}{text}")));
    texts.push(("with line ends of Windows".into(), text.replace('\n', "\r\n")));
    texts.push(("in one line".into(), text.replace('\n', " ")));
    for (form, text) in texts {
        let parsed = parse(KeyFormat::Es256Pem, &text);
        assert_eq!(parsed.as_ref().map(|parsed| &parsed.key), Ok(&named.key), "{form}:\n{text}");
    }
    signs_for(read(at, "sec1.pem").as_bytes(), named.key.as_ref());
}

#[test]
fn every_form_of_a_private_key_signs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    openssl(at, "ecparam -name prime256v1 -genkey -out sec1.pem");
    openssl(at, "ec -in sec1.pem -pubout -out public.pem");
    openssl(at, "ecparam -name prime256v1 -genkey -noout -out bare.pem");
    for (form, words) in [
        ("SEC 1 without parameters before it", "ec -in sec1.pem -out key.pem"),
        ("SEC 1 without its public half", "ec -in sec1.pem -no_public -out key.pem"),
        ("SEC 1, explicit", "ec -in sec1.pem -param_enc explicit -out key.pem"),
        ("SEC 1, compressed", "ec -in sec1.pem -conv_form compressed -out key.pem"),
        ("PKCS #8", "pkcs8 -topk8 -nocrypt -in sec1.pem -out key.pem"),
        ("PKCS #8, explicit", "pkey -in sec1.pem -ec_param_enc explicit -out key.pem"),
        ("PKCS #8, compressed", "pkey -in sec1.pem -ec_conv_form compressed -out key.pem"),
    ] {
        openssl(at, words);
        let public = parse(KeyFormat::Es256Pem, &read(at, "public.pem")).unwrap().key;
        println!("{form}");
        signs_for(read(at, "key.pem").as_bytes(), public.as_ref());
    }
    openssl(at, "ec -in sec1.pem -no_public -out small.pem");
    openssl(at, "pkcs8 -topk8 -nocrypt -in small.pem -out small8.pem");
    let public = parse(KeyFormat::Es256Pem, &read(at, "public.pem")).unwrap().key;
    signs_for(read(at, "small8.pem").as_bytes(), public.as_ref());
    let text = read(at, "sec1.pem");
    let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [format!("\u{feff}{text}").into_bytes(), text.replace('\n', "\r\n").into_bytes(), wide] {
        signs_for(&bytes, public.as_ref());
    }
    std::fs::write(at.join("rsa.pem"), include_str!("rsa.private.pem")).unwrap();
    openssl(at, "rsa -in rsa.pem -traditional -out key.pem");
    let rsa = parse(KeyFormat::RsaPem, include_str!("rsa.public.pem")).unwrap().key;
    signs_for(read(at, "key.pem").as_bytes(), rsa.as_ref());
    openssl(at, "rsa -in rsa.pem -RSAPublicKey_out -out public.pem");
    assert_eq!(parse(KeyFormat::RsaPem, &read(at, "public.pem")).unwrap().key, rsa);
}

#[test]
fn what_is_not_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let public_of = |words: &str| {
        openssl(at, words);
        openssl(at, "pkey -in key.pem -pubout -out public.pem");
        read(at, "public.pem")
    };
    for (words, part) in [
        ("ecparam -name secp256k1 -genkey -out key.pem", "on the curve secp256k1; only P-256"),
        ("ecparam -name secp384r1 -genkey -out key.pem", "on the curve P-384 (secp384r1)"),
        ("ecparam -name brainpoolP256r1 -genkey -out key.pem", "on the curve brainpoolP256r1"),
        ("ecparam -name secp256k1 -param_enc explicit -genkey -out key.pem", "are not those of P-256"),
        ("genpkey -algorithm ed25519 -out key.pem", "an Ed25519 key"),
        ("genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out key.pem", "an RSA-PSS key"),
    ] {
        let error = parse(KeyFormat::Es256Pem, &public_of(words)).unwrap_err();
        assert!(error.contains(part), "{words}: {error}");
    }
    openssl(at, "ecparam -name secp384r1 -genkey -out key.pem");
    let signs = |name: &str| SigningKey::from_pem(read(at, name).as_bytes()).unwrap_err().to_string();
    assert!(signs("key.pem").contains("P-384"), "{}", signs("key.pem"));
    openssl(at, "ecparam -name prime256v1 -genkey -out key.pem");
    openssl(at, "pkcs8 -topk8 -passout pass:x -in key.pem -out encrypted.pem");
    assert!(signs("encrypted.pem").contains("the key is encrypted"), "{}", signs("encrypted.pem"));
    openssl(at, "ec -aes128 -passout pass:x -in key.pem -out encrypted.pem");
    assert!(signs("encrypted.pem").contains("the key is encrypted"), "{}", signs("encrypted.pem"));
    openssl(at, "pkey -in key.pem -outform DER -out key.der");
    let der = SigningKey::from_pem(&std::fs::read(at.join("key.der")).unwrap()).unwrap_err().to_string();
    assert!(der.contains("inform DER"), "{der}");
    openssl(at, "ecparam -name prime256v1 -out parameters.pem");
    openssl(at, "req -new -key key.pem -subj /CN=x -out request.pem");
    for (name, format, part) in [
        ("parameters.pem", KeyFormat::Es256Pem, "parameters without a key: openssl pkey"),
        ("request.pem", KeyFormat::Es256X509Pem, "not -----BEGIN CERTIFICATE REQUEST-----"),
        ("key.pem", KeyFormat::Es256Pem, "this is a private key"),
    ] {
        let error = parse(format, &read(at, name)).unwrap_err();
        assert!(error.contains(part), "{name}: {error}");
    }
    assert!(signs("parameters.pem").contains("only -----BEGIN EC PARAMETERS-----"), "{}", signs("parameters.pem"));
}

#[test]
fn a_curve_that_differs_in_its_generator_alone_is_not_p256() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    openssl(at, "ecparam -name prime256v1 -genkey -out sec1.pem");
    openssl(at, "ec -in sec1.pem -pubout -param_enc explicit -outform DER -out public.der");
    let der = std::fs::read(at.join("public.der")).unwrap();
    // The last byte of the generator; the curve, its field and its order stay.
    let end = der.windows(2).position(|two| two == [0x51, 0xf5]).unwrap() + 1;
    let mut other = der.clone();
    other[end] ^= 1;
    let pem = |der: &[u8]| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    };
    assert!(parse(KeyFormat::Es256Pem, &pem(&der)).is_ok());
    let error = parse(KeyFormat::Es256Pem, &pem(&other)).unwrap_err();
    assert!(error.contains("not those of P-256"), "{error}");
}

#[test]
fn a_certificate_counts_from_its_beginning_to_its_end() {
    let text = include_str!("rsa.certificate.pem");
    let parsed = parse(KeyFormat::RsaX509Pem, text).unwrap();
    let (starts, ends) = (parsed.starts_ms.unwrap(), parsed.expires_ms.unwrap());
    let skew = switchbox_model::limits::TOKEN_SKEW_SECS * 1_000;
    for (now, expect) in [
        (starts - skew - 1, Validity::NotYet(starts)),
        (starts - skew, Validity::Now),
        (ends - 1, Validity::Now),
        (ends, Validity::Expired(ends)),
    ] {
        assert_eq!(parsed.time(now), expect, "{now}");
    }
}
