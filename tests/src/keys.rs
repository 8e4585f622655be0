//! Hosts with closed doors, and the keys that open them.

use std::fs;

use switchbox_auth::signing::SigningKey;
use switchbox_support::clock;

use crate::{Place, Process};

/// Arguments of a host that lets in only who proves who it is.
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
/// When there is none.
#[must_use]
pub fn private_key(place: &Place, name: &str) -> SigningKey {
    let pem = fs::read(place.root().join(format!("{name}.key.pem"))).expect("no private key");
    SigningKey::from_pem(&pem).expect("no private key")
}

/// Registers the device with a key pair of its own; gives the private half.
#[must_use]
pub fn registered(host: &Process, place: &Place, id: &str) -> SigningKey {
    let _ = host.cli(place, &["device", "create", id, "--new-key"]);
    private_key(place, id)
}

/// A token for an hour.
///
/// # Panics
///
/// When the key cannot sign.
#[must_use]
pub fn token(key: &SigningKey) -> String {
    key.token("local", now(), now() + 3_600).expect("no token")
}
