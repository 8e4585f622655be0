//! `switchbox device`: keys, certificates and passwords of devices. Private keys stay on this machine.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    answer::typed,
    client::Client,
    example,
    exit::{Code, failed},
    public_key::PublicKey,
    table::table,
    when::at,
};
use switchbox_admin_api::{
    DeviceCredential, Listeners, PublicKeyCredential, PublicKeyFormat, SetPasswordRequest, Time,
};
use switchbox_model::DeviceName;

/// The credential of a new device
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub struct NewKey {
    /// Create a key pair (ES256): the private key in NAME.key.pem, the public key on the host
    #[arg(long)]
    new_key: bool,
    /// Register this public key or certificate (PEM; RSA or EC P-256); may be repeated. gcloud's
    /// path=FILE,type=TYPE,expiration-time=TIME is accepted too, and fingerprint=HEX of a client certificate
    #[arg(long = "public-key", value_name = "FILE")]
    public_keys: Vec<PublicKey>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Add a public key or certificate (PEM)
    Add {
        #[arg(value_name = "NAME")]
        owner: String,
        /// The file, gcloud's path=FILE,type=TYPE,expiration-time=TIME, or fingerprint=HEX (SHA-1 or SHA-256) of a client certificate
        file: PublicKey,
        /// When it expires, such as 2030-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires: Option<Time>,
    },
    /// List them, with numbers
    List {
        #[arg(value_name = "NAME")]
        owner: String,
    },
    /// Remove one; connections that it admitted end at once
    Remove {
        #[arg(value_name = "NAME")]
        owner: String,
        /// Its number in `list`
        number: usize,
    },
}

/// Give the device a password, generated here or read from standard input
#[derive(Debug, clap::Args)]
pub(super) struct Password {
    device: String,
    #[command(flatten)]
    secret: Secret,
}

/// The source of a password
#[derive(Debug, clap::Args)]
pub struct Secret {
    /// Read the password from standard input instead of generating one
    #[arg(long, conflicts_with = "remove")]
    stdin: bool,
    /// Remove the password
    #[arg(long)]
    remove: bool,
}

/// The key of a device that is being registered.
pub(super) struct Key {
    /// In the API's format.
    pub(super) credentials: Vec<DeviceCredential>,
    /// The file of the private key that was created.
    pub(super) made: Option<PathBuf>,
}

impl NewKey {
    pub(super) fn make(&self, id: &str) -> anyhow::Result<Option<Key>> {
        if !self.new_key {
            let given: Vec<_> = self.public_keys.iter().map(PublicKey::read).collect::<anyhow::Result<_>>()?;
            return Ok(Some(given)
                .filter(|given| !given.is_empty())
                .map(|credentials| Key { credentials, made: None }));
        }
        let pair = rcgen::KeyPair::generate().context("no key could be made")?;
        let path = PathBuf::from(format!("{id}.key.pem"));
        write_private(&path, &Zeroizing::new(pair.serialize_pem()))?;
        let credential = credential(PublicKeyFormat::Es256Pem, pair.public_key_pem());
        Ok(Some(Key { credentials: vec![credential], made: Some(path) }))
    }
}

impl Key {
    /// Deletes the key of a device that was not registered.
    pub(super) fn forget(&self) {
        if let Some(path) = &self.made {
            let _ = fs::remove_file(path);
        }
    }

    /// An example of a client command for this device.
    pub(super) fn example(&self, client: &Client, name: &DeviceName) -> String {
        let Some(path) = &self.made else { return String::new() };
        // A caller that may not read the listeners gets the default text.
        let listeners: Listeners = client.get("/v1/listeners").and_then(|answer| typed(&answer)).unwrap_or_default();
        let destination = example::destination(&listeners, client.base());
        let (path, id, project) = (path.display(), &name.id, name.registry.project());
        format!(
            "\nits private key is in {path}; keep it, nobody else has it\n\n\
             Connect as this device:\n\n  \
             mosquitto_pub {destination} -i {name} -u unused \\\n    \
             -P \"$(switchbox device token --key {path} --audience {project})\" \\\n    \
             -t /devices/{id}/events -q 1 -m hello"
        )
    }
}

/// Creates a file that only its owner can read; an existing one is not overwritten.
pub(super) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = || format!("{} cannot be made", path.display());
    let mut file = options.open(path).with_context(|| match path.exists() {
        true => format!("{} is there already and is left alone; move it away first", path.display()),
        false => failed(),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)
}

fn credential(format: PublicKeyFormat, key: String) -> DeviceCredential {
    DeviceCredential { public_key: PublicKeyCredential { format, key }, expiration_time: None }
}

/// The fields that devices and service accounts have in common.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    credentials: Vec<DeviceCredential>,
}

fn listed(client: &Client, path: &str) -> anyhow::Result<Vec<DeviceCredential>> {
    Ok(typed::<Owner>(&client.get(path)?)?.credentials)
}

/// Adding or removing one credential is a separate operation, so that concurrent changes stay.
fn change(
    client: &Client,
    path: &str,
    verb: &str,
    credential: &DeviceCredential,
    of: &str,
) -> anyhow::Result<(Value, String)> {
    let answer = client.post(&format!("{path}:{verb}"), credential)?;
    let left = typed::<Owner>(&answer)?.credentials.len();
    Ok((answer, format!("{of} has {left} credential(s)")))
}

pub(super) fn run(client: &Client, action: &Action) -> anyhow::Result<(Value, String)> {
    action.run(client, "device", &|device| client.path(device, ""))
}

impl Action {
    /// `path` is the API's path of the owner of the credentials; `what` names the command for it.
    pub(super) fn run(
        &self,
        client: &Client,
        what: &str,
        path: &dyn Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Add { owner, file, expires } => {
                let mut new = file.read()?;
                new.expiration_time = expires.or(new.expiration_time);
                change(client, &path(owner)?, "addCredential", &new, owner)
            }
            Self::List { owner } => {
                let credentials = listed(client, &path(owner)?)?;
                let rows: Vec<_> =
                    (1..).zip(&credentials).map(|(number, credential)| row(number, credential)).collect();
                let text = table(&["NUMBER", "FORMAT", "FINGERPRINT", "EXPIRES"], &rows);
                Ok((json!({ "credentials": credentials }), text))
            }
            Self::Remove { owner, number } => {
                let path = path(owner)?;
                let credentials = listed(client, &path)?;
                change(client, &path, "removeCredential", numbered(&credentials, *number, what, owner)?, owner)
            }
        }
    }
}

/// The credential with this number in the list; numbers start at 1. `what` names the command that lists them.
pub(super) fn numbered<'a, T>(credentials: &'a [T], number: usize, what: &str, owner: &str) -> anyhow::Result<&'a T> {
    let found = number.checked_sub(1).and_then(|at| credentials.get(at));
    let missing = || {
        let count = credentials.len();
        let text =
            format!("{owner} has {count} credential(s); `switchbox {what} credential list {owner}` numbers them");
        failed(Code::NotFound, text)
    };
    Ok(found.ok_or_else(missing)?)
}

fn row(number: usize, credential: &DeviceCredential) -> Vec<String> {
    vec![number.to_string(), format(credential), known_by(credential), expires(credential)]
}

/// A public key or a certificate on one line.
pub(super) fn described(credential: &DeviceCredential) -> String {
    format!("{} {} expires {}", format(credential), known_by(credential), expires(credential))
}

fn format(credential: &DeviceCredential) -> String {
    credential.public_key.format.to_string()
}

fn expires(credential: &DeviceCredential) -> String {
    credential.expiration_time.map_or_else(|| "never".into(), |time| at(time.to_string()))
}

/// The fingerprint of its key or certificate.
fn known_by(DeviceCredential { public_key, .. }: &DeviceCredential) -> String {
    if public_key.format != PublicKeyFormat::X509Fingerprint {
        return fingerprint(&public_key.key);
    }
    let hex: String = public_key.key.chars().filter(char::is_ascii_hexdigit).collect();
    format!("{}:{}", if hex.len() == 40 { "sha1" } else { "sha256" }, hex.to_ascii_lowercase())
}

/// SHA-256 of the contents of the PEM: of a certificate as `openssl x509 -fingerprint -sha256` prints it, of a key that of `openssl
/// pkey -pubin -outform der`.
pub(super) fn fingerprint(pem: &str) -> String {
    let base64: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let Ok(der) = STANDARD.decode(base64) else { return "-".into() };
    let mut hex = String::from("sha256:");
    for byte in Sha256::digest(der) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

pub(super) fn password(client: &Client, options: &Password) -> anyhow::Result<(Value, String)> {
    options.secret.set(client, &options.device, &client.path(&options.device, ":setPassword")?)
}

impl Secret {
    /// Sets the password by a call to this path.
    pub(super) fn set(&self, client: &Client, whose: &str, path: &str) -> anyhow::Result<(Value, String)> {
        if self.remove {
            return Ok((
                client.post(path, &SetPasswordRequest::default())?,
                format!("{whose} has no password any more"),
            ));
        }
        let mut password = Zeroizing::new(String::new());
        if self.stdin {
            std::io::stdin().read_to_string(&mut password).context("standard input cannot be read")?;
        } else {
            let mut random = Zeroizing::new([0; 18]);
            getrandom::fill(random.as_mut()).context("the system has no random numbers")?;
            URL_SAFE_NO_PAD.encode_string(random.as_ref(), &mut password);
        }
        let secret = password.trim_end_matches(['\r', '\n']);
        let answer = client.post(path, &SetPasswordRequest { password: Some(secret.to_owned()) })?;
        let text = if self.stdin { format!("{whose} has a new password") } else { secret.to_owned() };
        Ok((answer, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_credential_has_is_not_found() {
        assert_eq!(numbered(&["a", "b"], 2, "device", "lamp-1").unwrap(), &"b");
        for number in [0, 3] {
            let error = numbered(&["a", "b"], number, "device", "lamp-1").unwrap_err();
            assert_eq!(crate::exit::code(&error), Some(4), "{number}: {error}");
        }
    }
}
