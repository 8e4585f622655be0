//! `switchbox cert`: creates an authority and certificates that it issues, for a house, a hall or experiments. It needs no host.
//! With certificates of another authority it is not needed.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use getrandom::SysRng;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256,
};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rustls::pki_types::DnsName;
use zeroize::Zeroizing;

use super::{credential::write_private, exit::wrong};
use switchbox_model::DeviceId;
use switchbox_support::clock;

/// The authority's name, which all its certificates contain.
const AUTHORITY: &str = "Switchbox development CA";
/// The files of the authority and of the host begin with these.
const CA: &str = "ca";
const SERVER: &str = "server";
const AUTHORITY_DAYS: i64 = 3_650;
/// The longest validity that Apple's systems accept.
const CERTIFICATE_DAYS: i64 = 825;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// The smallest size that is generally accepted. Larger keys are slow on small clients.
const RSA_BITS: usize = 2_048;

/// Create certificates for TLS: an authority (CA) of your own, and certificates of the host and of devices
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
    /// The folder of the certificates and keys
    #[arg(long, value_name = "DIR", default_value = "switchbox-certs", global = true)]
    folder: PathBuf,
    /// The type of key: ec (P-256), or rsa (2048 bits) for clients that support only RSA, such as an ESP8266
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = KeyType::Ec, global = true)]
    key_type: KeyType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeyType {
    Ec,
    Rsa,
}

impl KeyType {
    fn of(key: &KeyPair) -> Self {
        if *key.algorithm() == PKCS_RSA_SHA256 { Self::Rsa } else { Self::Ec }
    }

    fn generate(self) -> anyhow::Result<KeyPair> {
        match self {
            Self::Ec => Ok(KeyPair::generate()?),
            Self::Rsa => {
                let key = rsa::PrivateKey::new(&mut SysRng, RSA_BITS).context("an RSA key cannot be made")?;
                let pem = key.to_pkcs8_pem(LineEnding::LF).context("an RSA key cannot be written")?;
                Ok(KeyPair::from_pem(&pem)?)
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// For the host: server.pem and server.key.pem; and ca.pem, which devices need to trust it
    Server {
        /// The names and addresses that devices use for the host
        #[arg(value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
        names: Vec<String>,
    },
    /// For a device: NAME.pem and NAME.key.pem, with the device's id as the common name
    Device { device: String },
}

/// A certificate with its key, in PEM.
struct Issued {
    certificate: String,
    key: Zeroizing<String>,
}

/// Creates server.pem, server.key.pem and ca.pem in the folder, for a host with these names and addresses.
///
/// # Errors
///
/// The folder cannot be written.
pub fn for_server(folder: &Path, names: &[&str]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let (authority, _) = authority(folder, KeyType::Ec)?;
    write(folder, SERVER, &server(&authority, KeyType::Ec, &names)?)
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    check(&options.action)?;
    let folder = &options.folder;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let key_type = options.key_type;
    let (authority, authority_type) = authority(folder, key_type)?;
    let note = if authority_type == KeyType::Ec && key_type == KeyType::Rsa {
        "\n\nThe authority in this folder has an EC key: a client that knows RSA alone cannot check what it issues. Use \
         another --folder, where the authority is made with the same kind of key."
    } else {
        ""
    };
    match &options.action {
        Action::Server { names } => {
            write(folder, SERVER, &server(&authority, key_type, names)?)?;
            let folder = folder.display();
            Ok(format!(
                "{folder}/server.pem is good for {} and {CERTIFICATE_DAYS} days; devices trust it by {folder}/ca.pem\n\n  \
                 switchbox serve --mqtt-tls 0.0.0.0:8883 --tls-cert {folder}/server.pem --tls-key {folder}/server.key.pem{note}",
                names.join(", ")
            ))
        }
        Action::Device { device } => {
            let id = DeviceId::new(device)?;
            write(folder, device, &client(&authority, key_type, &id)?)?;
            let folder = folder.display();
            Ok(format!(
                "{folder}/{id}.pem lets {id} in where the host runs with --tls-client-ca {folder}/ca.pem, or once it is \
                 registered:\n\n  switchbox device credential add {id} {folder}/{id}.pem{note}"
            ))
        }
    }
}

/// Refuses arguments before a file is written.
fn check(action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Server { names } => names.iter().try_for_each(|name| check_host(name)),
        Action::Device { device } => {
            DeviceId::new(device)?;
            check_file_names(device)
        }
    }
}

/// A wildcard stands for the first label of a name.
fn check_host(name: &str) -> anyhow::Result<()> {
    let is_dns_name = DnsName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok();
    if name.parse::<IpAddr>().is_ok() || is_dns_name {
        return Ok(());
    }
    Err(wrong(format!("{name:?} is neither a DNS name, such as switchbox.example or *.example, nor an IP address")))
}

/// The files of the device must not be those of the authority, of the host or of another device. File names may ignore case.
fn check_file_names(device: &str) -> anyhow::Result<()> {
    let id = device.to_ascii_lowercase();
    if [CA, SERVER].contains(&id.as_str()) || id.ends_with(".key") {
        return Err(wrong(format!(
            "{device}.pem would replace a file of the authority, of the host or of another device in the folder; choose \
             another id, or make the certificate with another tool"
        )));
    }
    Ok(())
}

/// The authority in the folder, or a new one with this type of key; and its type.
fn authority(folder: &Path, key_type: KeyType) -> anyhow::Result<(Issuer<'static, KeyPair>, KeyType)> {
    let (certificate_path, key_path) = (folder.join(format!("{CA}.pem")), folder.join(format!("{CA}.key.pem")));
    if certificate_path.exists() {
        let certificate = fs::read_to_string(&certificate_path);
        let certificate = certificate.with_context(|| format!("{} cannot be read", certificate_path.display()))?;
        let pem = fs::read_to_string(&key_path).map(Zeroizing::new);
        let pem = pem.with_context(|| format!("{} cannot be read", key_path.display()))?;
        let key = KeyPair::from_pem(&pem).with_context(|| format!("{} is not a key", key_path.display()))?;
        let key_type = KeyType::of(&key);
        // An authority from elsewhere has a name of its own.
        let issuer = Issuer::from_ca_cert_pem(&certificate, key);
        return Ok((issuer.with_context(|| format!("{} is not a certificate", certificate_path.display()))?, key_type));
    }
    let mut params = params(AUTHORITY, vec![], AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = key_type.generate()?;
    let certificate = params.self_signed(&key)?;
    write(folder, CA, &issued(&certificate, &key))?;
    Ok((Issuer::new(params, key), key_type))
}

fn params(name: &str, names: Vec<String>, days: i64) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names)
        .map_err(|e| wrong(format!("a name is neither a host's name nor an address: {e}")))?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    // One day back, because the clocks of devices may be wrong.
    let ((from_year, from_month, from_day), (to_year, to_month, to_day)) = (date(-1)?, date(days)?);
    params.not_before = rcgen::date_time_ymd(from_year, from_month, from_day);
    params.not_after = rcgen::date_time_ymd(to_year, to_month, to_day);
    Ok(params)
}

/// The date after this many days: year, month and day.
fn date(days: i64) -> anyhow::Result<(i32, u8, u8)> {
    let at = i64::try_from(clock::now_ms())? + days * DAY_MS;
    let date = jiff::Timestamp::from_millisecond(at)?.to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok((date.year().into(), date.month().try_into()?, date.day().try_into()?))
}

fn server(authority: &Issuer<'static, KeyPair>, key_type: KeyType, names: &[String]) -> anyhow::Result<Issued> {
    let first = names.first().map_or("localhost", String::as_str);
    let mut params = params(first, names.to_vec(), CERTIFICATE_DAYS)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(authority, key_type, params)
}

fn client(authority: &Issuer<'static, KeyPair>, key_type: KeyType, id: &DeviceId) -> anyhow::Result<Issued> {
    let mut params = params(id.as_str(), vec![], CERTIFICATE_DAYS)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(authority, key_type, params)
}

fn issue(
    authority: &Issuer<'static, KeyPair>,
    key_type: KeyType,
    mut params: CertificateParams,
) -> anyhow::Result<Issued> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = key_type.generate()?;
    Ok(issued(&params.signed_by(&key, authority)?, &key))
}

fn issued(certificate: &Certificate, key: &KeyPair) -> Issued {
    Issued { certificate: certificate.pem(), key: key.serialize_pem().into() }
}

/// Writes a certificate with its key. Existing files are replaced.
fn write(folder: &Path, name: &str, issued: &Issued) -> anyhow::Result<()> {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key.pem")));
    let beside = folder.join(format!(".{name}.key.pem.new"));
    let _ = fs::remove_file(&beside);
    write_private(&beside, &issued.key)?;
    fs::rename(&beside, &key).with_context(|| format!("{} cannot be written", key.display()))?;
    fs::write(&certificate, &issued.certificate).with_context(|| format!("{} cannot be written", certificate.display()))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    fn made(folder: &Path, action: Action) -> anyhow::Result<String> {
        run(&Options { action, folder: folder.into(), key_type: KeyType::Ec })
    }

    fn device(folder: &Path, id: &str) -> anyhow::Result<String> {
        made(folder, Action::Device { device: id.into() })
    }

    fn host(folder: &Path, name: &str) -> anyhow::Result<String> {
        made(folder, Action::Server { names: vec![name.into()] })
    }

    #[test]
    fn a_device_does_not_replace_files_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let _ = host(folder, "localhost").unwrap();
        let _ = device(folder, "lamp-1").unwrap();
        let files = ["ca.pem", "ca.key.pem", "server.pem", "server.key.pem", "lamp-1.pem", "lamp-1.key.pem"];
        let read = || files.map(|file| fs::read(folder.join(file)).unwrap());
        let before = read();
        for id in ["ca", "CA", "server", "ca.key", "server.key", "lamp-1.key"] {
            let error = device(folder, id).unwrap_err();
            assert!(error.to_string().contains("would replace"), "{id}: {error}");
            assert_eq!(crate::exit::code(&error), Some(2), "{id}");
        }
        assert_eq!(read(), before);
        let _ = device(folder, "camera-1").unwrap();
    }

    #[test]
    fn a_host_has_dns_names_and_addresses() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bad name!", "", "*", "a.*.example", "http://a.example"] {
            let error = host(folder.path(), name).unwrap_err().to_string();
            assert!(error.contains("neither a DNS name"), "{name:?}: {error}");
        }
        assert!(!folder.path().join("ca.pem").exists(), "nothing is made for what is refused");
        for name in ["switchbox.example", "*.switchbox.example", "192.0.2.1", "::1"] {
            let _ = host(folder.path(), name).unwrap();
        }
    }

    #[test]
    fn certificates_verify_with_an_authority_from_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut own = params("Plant CA", vec![], 10).unwrap();
        own.distinguished_name.push(DnType::OrganizationName, "Plant");
        own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        write(folder, CA, &issued(&own.self_signed(&key).unwrap(), &key)).unwrap();
        let _ = device(folder, "lamp-1").unwrap();
        let chain = fs::read(folder.join("lamp-1.pem")).unwrap();
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).map(Result::unwrap).collect();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            roots(folder).into(),
            std::sync::Arc::new(rustls::crypto::ring::default_provider()),
        );
        let now = rustls::pki_types::UnixTime::now();
        let verified = verifier.build().unwrap().verify_client_cert(&chain[0], &[], now);
        assert!(verified.is_ok(), "{verified:?}");
    }

    fn roots(folder: &Path) -> rustls::RootCertStore {
        let mut store = rustls::RootCertStore::empty();
        let pem = fs::read(folder.join("ca.pem")).unwrap();
        store.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        store
    }
}
