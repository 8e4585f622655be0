//! What a client shows to get in.

use std::{fmt, net::IpAddr};

use rustls::pki_types::CertificateDer;

use super::symmetric::Signed;
use switchbox_model::DeviceName;

/// What a client shows at CONNECT.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// May be empty (the server assigned one then).
    pub client_id: &'a str,
    pub user_name: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    pub address: IpAddr,
    /// Those that the client showed in the TLS handshake, its own first, whose key it holds.
    pub certificates: &'a [CertificateDer<'static>],
    /// The device that it says it is, where its dialect does not say so by the client id alone.
    pub device: Option<&'a DeviceName>,
    /// What it signed with a symmetric key; it shows no password then.
    pub signed: Option<&'a Signed>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
