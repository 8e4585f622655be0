//! Errors of AMQP.

use fe2o3_amqp_types::definitions::{Error, ErrorCondition};

/// The error with this text, which the client's SDK shows.
pub(crate) fn error(condition: impl Into<ErrorCondition>, text: impl Into<String>) -> Error {
    Error::new(condition, Some(text.into()), None)
}
