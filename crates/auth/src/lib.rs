//! Who is it, and may it: decides at CONNECT, and again when something changes. Never sees a packet.
//!
//! A client that is refused is told nothing but that, and after the same time, whatever was wrong; the log says what.

pub mod access;
mod auth_context;
mod certificates;
mod credentials;
mod curve;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateways;
mod handle;
pub mod jwt;
pub mod keys;
pub mod password;
pub mod pem;
mod proving;
mod refusal;
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
