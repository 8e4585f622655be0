//! Authenticates and authorises clients at CONNECT, and checks them again when something changes. It does not handle packets.
//!
//! A refused client gets the same answer after the same time, whatever was wrong. The log has the reason.

pub mod access;
mod attestation;
mod auth_context;
mod certificates;
mod credentials;
mod curve;
pub mod fingerprint;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateways;
mod handle;
pub mod jwt;
pub mod keys;
pub mod password;
pub mod pem;
mod proving;
pub mod provisioning;
mod refusal;
pub mod registration_token;
pub mod signing;
pub mod symmetric;
#[cfg(test)]
mod tests;
mod throttle;

pub use access::{Access, Action, may};
pub use auth_context::{AccessExpiry, AuthContext, Principal};
pub use credentials::Credentials;
pub use handle::Handle;
pub use refusal::AuthRefusal;
pub use switchbox_settings::Enroll;
pub use symmetric::{Signed, Signer};
