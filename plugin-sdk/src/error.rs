//! Why something did not work: the host's refusals, and what the plugin answers to an event that it cannot handle.

use crate::bindings::{exports::switchbox::plugin::handler, switchbox::plugin::types};

/// What a call of the host answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the host refused a call. The texts are for display.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plugin was not granted this. Names the capability and the pattern that would be needed.
    #[error("denied: {0}")]
    Denied(String),
    /// There is no such device, key or version.
    #[error("not found: {0}")]
    NotFound(String),
    /// An argument is wrong.
    #[error("invalid: {0}")]
    Invalid(String),
    /// A limit was reached. Names the limit.
    #[error("limit reached: {0}")]
    Limit(String),
    /// Another version is in force than the one expected; carries the one in force (0 = none).
    #[error("conflict: version {0} is in force")]
    Conflict(u64),
    /// The device is not connected, or does not subscribe to what would be sent.
    #[error("offline: {0}")]
    Offline(String),
    /// No answer came in time.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// This host does not do that (yet).
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The host cannot do that at the moment; the same call may succeed later.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl Error {
    /// Whether the same event may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Offline(_) | Self::TimedOut(_) | Self::Unavailable(_))
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Denied(text) => Self::Denied(text),
            types::Error::NotFound(text) => Self::NotFound(text),
            types::Error::Invalid(text) => Self::Invalid(text),
            types::Error::Limit(text) => Self::Limit(text),
            types::Error::Conflict(version) => Self::Conflict(version),
            types::Error::Offline(text) => Self::Offline(text),
            types::Error::TimedOut(text) => Self::TimedOut(text),
            types::Error::Unsupported(text) => Self::Unsupported(text),
            types::Error::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

/// Why an event was not handled. None of its effects happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disposition {
    /// Try again, with back-off.
    #[error("retry: {0}")]
    Retry(String),
    /// Not for this plugin to handle: straight to the dead letters, where an operator reads the text.
    #[error("reject: {0}")]
    Reject(String),
}

/// What a handler answers. With `?`, a transient [`Error`] of the host becomes a retry and any other a reject.
pub type Outcome = std::result::Result<(), Disposition>;

/// For `Err(…)` and `ok_or_else`: the event goes to the dead letters, with this text.
pub fn reject(text: impl Into<String>) -> Disposition {
    Disposition::Reject(text.into())
}

/// For `Err(…)` and `ok_or_else`: the event is tried again a little later.
pub fn retry(text: impl Into<String>) -> Disposition {
    Disposition::Retry(text.into())
}

impl From<Error> for Disposition {
    fn from(error: Error) -> Self {
        if error.is_transient() { retry(error.to_string()) } else { reject(error.to_string()) }
    }
}

impl From<serde_json::Error> for Disposition {
    fn from(error: serde_json::Error) -> Self {
        reject(error.to_string())
    }
}

impl From<Disposition> for handler::Disposition {
    fn from(disposition: Disposition) -> Self {
        match disposition {
            Disposition::Retry(text) => Self::Retry(text),
            Disposition::Reject(text) => Self::Reject(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_retried_only_where_time_may_help() {
        for (error, expected) in [
            (Error::Offline("lamp-1".into()), retry("offline: lamp-1")),
            (Error::Conflict(7), retry("conflict: version 7 is in force")),
            (Error::NotFound("lamp-1".into()), reject("not found: lamp-1")),
            (Error::Denied("config on lamp-1".into()), reject("denied: config on lamp-1")),
            (Error::Limit("config-bytes".into()), reject("limit reached: config-bytes")),
        ] {
            assert_eq!(Disposition::from(error), expected);
        }
    }
}
