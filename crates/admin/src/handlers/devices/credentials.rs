//! Passwords of requests, and their stored hashes.

use zeroize::Zeroizing;

use crate::{
    blocking::blocking,
    error::{Error, ErrorStatus},
};
use switchbox_admin_api::SetPasswordRequest;
use switchbox_auth::password;
use switchbox_model::{limits::fields, registry::PasswordHash};

/// The stored form of a password.
pub(crate) async fn hash(request: SetPasswordRequest) -> Result<Option<PasswordHash>, Error> {
    match request.password.map(Zeroizing::new) {
        None => Ok(None),
        Some(password) => {
            fields::PASSWORD.check_len("a password", password.len())?;
            blocking(move || Ok(password::hash(password.as_bytes())?)).await.map(Some)
        }
    }
}

impl From<password::Error> for Error {
    fn from(error: password::Error) -> Self {
        let status = match error {
            password::Error::Length => ErrorStatus::InvalidArgument,
            password::Error::Busy => ErrorStatus::Unavailable,
            password::Error::Random(_) | password::Error::Hash => ErrorStatus::Internal,
        };
        Self::new(status, error.to_string())
    }
}
