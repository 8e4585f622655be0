//! A public key or certificate as an argument: a file, gcloud's `path=FILE,type=TYPE,expiration-time=TIME`, or `fingerprint=HEX` of a client
//! certificate.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context as _;

use super::exit::wrong;
use switchbox_admin_api::{DeviceCredential, PublicKeyCredential, PublicKeyFormat, Time};
use switchbox_auth::{keys, pem};
use switchbox_model::registry::{Credential, KeyFormat};

/// gcloud's names of the formats, including earlier ones.
const TYPES: [(&str, PublicKeyFormat); 6] = [
    ("rsa-pem", PublicKeyFormat::RsaPem),
    ("rsa-x509-pem", PublicKeyFormat::RsaX509Pem),
    ("rs256", PublicKeyFormat::RsaX509Pem),
    ("es256-pem", PublicKeyFormat::Es256Pem),
    ("es256", PublicKeyFormat::Es256Pem),
    ("es256-x509-pem", PublicKeyFormat::Es256X509Pem),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    source: Source,
    /// The format that the user gave. Is `None` if it is to be detected.
    format: Option<PublicKeyFormat>,
    expires: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Fingerprint(String),
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !["path=", "type=", "fingerprint="].iter().any(|key| text.starts_with(key)) {
            return Ok(Self { source: Source::File(text.into()), format: None, expires: None });
        }
        let (mut source, mut format, mut expires) = (None, None, None);
        for pair in text.split(',') {
            match pair.split_once('=') {
                Some(("path", file)) => source = Some(Source::File(file.into())),
                Some(("fingerprint", digits)) => {
                    format = Some(PublicKeyFormat::X509Fingerprint);
                    source = Some(Source::Fingerprint(digits.to_owned()));
                }
                Some(("type", name)) => {
                    let known = TYPES.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format);
                    format = Some(known.ok_or_else(|| {
                        let names = TYPES.map(|(name, _)| name).join(", ");
                        format!("{name} is not a type of key; there are {names}")
                    })?);
                }
                Some(("expiration-time", time)) => expires = Some(time.parse()?),
                _ => {
                    return Err(format!(
                        "{pair:?}: write path=FILE,type=TYPE,expiration-time=TIME, fingerprint=HEX, or the file alone"
                    ));
                }
            }
        }
        Ok(Self { source: source.ok_or("path=FILE is missing")?, format, expires })
    }
}

impl PublicKey {
    /// In the API's format.
    pub(super) fn read(&self) -> anyhow::Result<DeviceCredential> {
        let (public_key, path) = match &self.source {
            Source::File(path) => (read(path)?, path.display()),
            Source::Fingerprint(key) => {
                let format = PublicKeyFormat::X509Fingerprint;
                let public_key = PublicKeyCredential { format, key: key.clone() };
                return Ok(DeviceCredential { public_key, expiration_time: self.expires });
            }
        };
        match self.format {
            Some(declared) if declared != public_key.format => {
                let is = public_key.format;
                Err(wrong(format!("{path} is {is}, and not {declared} as type= says")))
            }
            _ => Ok(DeviceCredential { public_key, expiration_time: self.expires }),
        }
    }
}

/// Reads a file and detects its format.
fn read(file: &Path) -> anyhow::Result<PublicKeyCredential> {
    let shown = file.display();
    let bytes = fs::read(file).with_context(|| format!("{shown} cannot be read"))?;
    let key = pem::text(&bytes).with_context(|| {
        format!("{shown} is not text; if it is a key in DER: openssl pkey -pubin -inform DER -in OLD -out NEW")
    })?;
    let formats = if key.contains("CERTIFICATE-----") {
        [(KeyFormat::RsaX509Pem, PublicKeyFormat::RsaX509Pem), (KeyFormat::Es256X509Pem, PublicKeyFormat::Es256X509Pem)]
    } else {
        [(KeyFormat::RsaPem, PublicKeyFormat::RsaPem), (KeyFormat::Es256Pem, PublicKeyFormat::Es256Pem)]
    };
    let mut problem = None;
    for (format, name) in formats {
        match keys::parse(&Credential { format, key: key.clone().into_owned(), expires_ms: None }) {
            Ok(_) => return Ok(PublicKeyCredential { format: name, key: key.into_owned() }),
            Err(error) => problem = Some(error),
        }
    }
    let problem = problem.context("there is no key in it");
    problem.and_then(|problem| Err(problem.into())).with_context(|| format!("{shown} cannot be used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_file_or_as_for_gcloud() {
        let key = |text: &str| text.parse::<PublicKey>();
        let file = |name: &str| Source::File(name.into());
        let plain = PublicKey { source: file("a,b.pem"), format: None, expires: None };
        assert_eq!(key("a,b.pem"), Ok(plain));
        let whole = key("path=a.pem,type=es256-pem,expiration-time=1970-01-01T00:00:01Z").unwrap();
        let expected =
            PublicKey { source: file("a.pem"), format: Some(PublicKeyFormat::Es256Pem), expires: Some(Time(1_000)) };
        assert_eq!(whole, expected);
        assert_eq!(key("type=rs256,path=a.pem").unwrap().format, Some(PublicKeyFormat::RsaX509Pem));
        let known = key("fingerprint=AB:CD").unwrap();
        assert_eq!(known.source, Source::Fingerprint("AB:CD".into()));
        assert_eq!(known.format, Some(PublicKeyFormat::X509Fingerprint));
        for (wrong, part) in [
            ("path=a.pem,type=dsa", "there are rsa-pem"),
            ("type=rs256", "path=FILE is missing"),
            ("path=a,b.pem", "write path=FILE"),
            ("path=a.pem,expiration-time=soon", "must be like"),
        ] {
            assert!(key(wrong).unwrap_err().contains(part), "{wrong}: {:?}", key(wrong));
        }
    }
}
