//! Hosts that require credentials, and keys for them.

use std::fs;

use switchbox_auth::signing::SigningKey;
use switchbox_support::clock;

use crate::{HostFolder, Process};

/// Arguments of a host that requires credentials.
pub const CLOSED: &[&str] = &["--enroll", "closed"];

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    clock::now_ms() / 1_000
}

/// The private key that the command line wrote for this device or account.
///
/// # Panics
///
/// Panics if there is none.
#[must_use]
pub fn private_key(host_folder: &HostFolder, name: &str) -> SigningKey {
    let pem = fs::read(host_folder.root().join(format!("{name}.key.pem"))).expect("no private key");
    SigningKey::from_pem(&pem).expect("no private key")
}

/// Registers the device with a new key pair; returns the private key.
#[must_use]
pub fn registered(host: &Process, host_folder: &HostFolder, id: &str) -> SigningKey {
    let _ = host.cli(host_folder, &["device", "create", id, "--new-key"]);
    private_key(host_folder, id)
}

/// A token for an hour.
///
/// # Panics
///
/// Panics if the key cannot sign.
#[must_use]
pub fn token(key: &SigningKey) -> String {
    key.token("local", now(), now() + 3_600).expect("no token")
}
