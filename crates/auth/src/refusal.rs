//! Why a client is refused.

use std::fmt;

/// Why a client is refused. `Display` is for the log, never for the client.
#[derive(Debug, thiserror::Error)]
pub enum AuthRefusal {
    /// CONNACK "not authorised".
    #[error("not authorised: {0}")]
    NotAuthorised(String),
    /// CONNACK "server unavailable".
    #[error("server unavailable: {0}")]
    Unavailable(String),
}

pub(super) fn refused(why: impl fmt::Display) -> AuthRefusal {
    AuthRefusal::NotAuthorised(why.to_string())
}

/// The refusal of a client that claims to be what is not there. What is wrong with its credentials says nothing then.
pub(super) fn unknown(text: String, proved: Option<AuthRefusal>) -> AuthRefusal {
    match proved {
        Some(busy @ AuthRefusal::Unavailable(_)) => busy,
        _ => refused(text),
    }
}
