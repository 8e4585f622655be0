//! Passwords as they are given, and what is kept of them.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    blocking::blocking,
    error::{Error, Kind},
};
use switchbox_auth::password;
use switchbox_model::{limits::fields, registry::PasswordHash};

/// A body without a password takes the password away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPassword {
    /// Bounded by `fields::PASSWORD`.
    password: Option<String>,
}

impl SetPassword {
    /// What is to be kept of it.
    pub(crate) async fn hash(self) -> Result<Option<PasswordHash>, Error> {
        match self.password.map(Zeroizing::new) {
            None => Ok(None),
            Some(password) => {
                fields::PASSWORD.check_len("a password", password.len())?;
                blocking(move || Ok(password::hash(password.as_bytes())?)).await.map(Some)
            }
        }
    }
}

impl From<password::Error> for Error {
    fn from(error: password::Error) -> Self {
        let kind = match error {
            password::Error::Length => Kind::InvalidArgument,
            password::Error::Busy => Kind::Unavailable,
            password::Error::Random(_) | password::Error::Hash => Kind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
