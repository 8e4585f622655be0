//! The authorities that the command line trusts for https: those of this machine, and those that are given.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The authorities in a file.
///
/// # Errors
///
/// The file cannot be read, or has no certificate.
pub fn read(file: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let unusable = || format!("{} cannot be used", file.display());
    let pem = std::fs::read(file).with_context(unusable)?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.with_context(unusable)? {
            found.push(certificate);
        }
    }
    anyhow::ensure!(!found.is_empty(), "there is no certificate in {} (PEM)", file.display());
    Ok(found)
}

/// These, and this machine's own.
#[must_use]
pub fn config(mut authorities: Vec<Certificate<'static>>) -> TlsConfig {
    let own = rustls_native_certs::load_native_certs().certs;
    authorities.extend(own.iter().map(|certificate| Certificate::from_der(certificate).to_owned()));
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
