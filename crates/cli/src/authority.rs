//! `switchbox registry credential`: the authorities of a registry. A certificate that one of them issued authenticates a device of
//! the registry.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    answer::typed,
    client::Client,
    credential::{fingerprint, numbered},
    table::table,
};
use switchbox_admin_api::{CertificateFormat, DeviceRegistry, PublicKeyCertificate, RegistryCredential};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Add the certificate of an authority (PEM)
    Add { registry: String, file: PathBuf },
    /// Show them, numbered
    List { registry: String },
    /// Remove one; connections that it admitted end at once
    Remove {
        registry: String,
        /// Its number in `list`
        number: usize,
    },
}

/// Reads a certificate from a PEM file.
pub(super) fn read(file: &Path) -> anyhow::Result<RegistryCredential> {
    let pem = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let format = CertificateFormat::X509CertificatePem;
    let certificate = PublicKeyCertificate { format, certificate: pem, x509_details: None };
    Ok(RegistryCredential { public_key_certificate: certificate })
}

impl Action {
    /// `path` makes the API's path of a registry.
    pub(super) fn run(
        &self,
        client: &Client,
        path: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<(Value, String)> {
        match self {
            Self::Add { registry, file } => change(client, &path(registry)?, "addCredential", &read(file)?, registry),
            Self::List { registry } => {
                let authorities = listed(client, &path(registry)?)?;
                let row = |(number, authority): (usize, &RegistryCredential)| {
                    vec![number.to_string(), fingerprint(&authority.public_key_certificate.certificate)]
                };
                let rows: Vec<_> = (1..).zip(&authorities).map(row).collect();
                Ok((json!({ "credentials": authorities }), table(&["NUMBER", "FINGERPRINT"], &rows)))
            }
            Self::Remove { registry, number } => {
                let path = path(registry)?;
                let authorities = listed(client, &path)?;
                let found = numbered(&authorities, *number, "registry", registry)?;
                change(client, &path, "removeCredential", found, registry)
            }
        }
    }
}

fn listed(client: &Client, path: &str) -> anyhow::Result<Vec<RegistryCredential>> {
    Ok(typed::<DeviceRegistry>(&client.get(path)?)?.credentials)
}

/// Adds or removes one authority. Concurrent changes of others are not lost.
fn change(
    client: &Client,
    path: &str,
    verb: &str,
    authority: &RegistryCredential,
    registry: &str,
) -> anyhow::Result<(Value, String)> {
    let answer = client.post(&format!("{path}:{verb}"), authority)?;
    let count = typed::<DeviceRegistry>(&answer)?.credentials.len();
    Ok((answer, format!("{registry} has {count} credential(s)")))
}
