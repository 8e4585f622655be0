//! The errors of calls. Independent of HTTP: `reply` converts them to answers.

use std::{io, time::Duration};

pub(super) use switchbox_admin_api::ErrorStatus;
use switchbox_core::{outbox, registry};
use switchbox_delivery as delivery;
use switchbox_model::{
    InvalidName,
    limits::{LimitName, TooMuch, names},
};
use switchbox_store as store;

/// A failure for which HTTP has a more exact code than the one of its [`ErrorStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpCode {
    /// 412: the `If-Match` of the call names another revision than the current one. The status is [`ErrorStatus::Aborted`].
    PreconditionFailed,
    /// 413: the request's body is too large. The status is [`ErrorStatus::InvalidArgument`].
    PayloadTooLarge,
}

/// A refused call; the text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Error {
    pub(super) status: ErrorStatus,
    /// `None`: the code follows from `status`.
    pub(super) http_code: Option<HttpCode>,
    pub(super) text: String,
    /// The path of the invalid field, if there is one.
    pub(super) field: Option<String>,
    /// How long to wait before a retry.
    pub(super) wait: Option<Duration>,
    /// The limit that was hit; the gate counts it.
    pub(super) limit: Option<LimitName>,
}

impl Error {
    pub(super) fn new(status: ErrorStatus, text: impl Into<String>) -> Self {
        Self { status, http_code: None, text: text.into(), field: None, wait: None, limit: None }
    }

    /// The call hit this limit.
    pub(super) fn at_limit(self, limit: impl Into<Option<LimitName>>) -> Self {
        Self { limit: limit.into(), ..self }
    }

    /// Names the invalid field; an empty path names none.
    pub(super) fn of_field(mut self, path: &str) -> Self {
        self.field = Some(path.to_owned()).filter(|path| !path.is_empty());
        self
    }

    /// Names the failed method call, which can be explained.
    pub(super) fn of_call(mut self, id: &str) -> Self {
        self.text.push_str(&format!(" (call {id})"));
        self
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(ErrorStatus::InvalidArgument, text)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let text = format!("the request's body is larger than the {limit} bytes that this call takes");
        let error = Self::invalid(text).at_limit(names::ADMIN_BODY);
        Self { http_code: Some(HttpCode::PayloadTooLarge), ..error }
    }

    pub(super) fn too_often(wait: Duration) -> Self {
        let text = "too many calls in a short time; Retry-After says how long to wait";
        Self { wait: Some(wait), ..Self::new(ErrorStatus::ResourceExhausted, text) }
    }

    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(ErrorStatus::NotFound, format!("{what} does not exist"))
    }

    /// `what` is not supported by this version.
    pub(super) fn unimplemented(what: &str) -> Self {
        Self::new(ErrorStatus::Unimplemented, format!("{what}: not in this version of switchbox"))
    }
}

impl From<InvalidName> for Error {
    fn from(error: InvalidName) -> Self {
        Self::invalid(error.to_string()).at_limit(error.limit)
    }
}

impl From<TooMuch> for Error {
    fn from(error: TooMuch) -> Self {
        Self::invalid(error.to_string()).at_limit(error.limit)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::new(ErrorStatus::Internal, error.to_string())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let status =
            if matches!(error, store::Error::Closed) { ErrorStatus::Unavailable } else { ErrorStatus::Internal };
        Self::new(status, error.to_string())
    }
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        let status = match error {
            registry::Error::NoSuch(_) | registry::Error::NoSuchCredential(_) => ErrorStatus::NotFound,
            registry::Error::Exists(_) | registry::Error::HasCredential(_) => ErrorStatus::AlreadyExists,
            registry::Error::OtherRevision { subject, expected, current } => {
                let text = format!(
                    "{subject} was changed since it was read: its ETag is \"{current}\", not \"{expected}\"; read it again"
                );
                return Self { http_code: Some(HttpCode::PreconditionFailed), ..Self::new(ErrorStatus::Aborted, text) };
            }
            registry::Error::OtherVersion { .. } => ErrorStatus::Aborted,
            registry::Error::NotEmpty(_)
            | registry::Error::HasBound(_)
            | registry::Error::NotBindable(_)
            | registry::Error::Patch(_) => ErrorStatus::FailedPrecondition,
            registry::Error::NotBound { .. } => ErrorStatus::NotFound,
            registry::Error::Full(full) => {
                return Self::new(ErrorStatus::ResourceExhausted, full.to_string()).at_limit(full.limit);
            }
            registry::Error::TooMuch(error) => return error.into(),
            registry::Error::Store(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<outbox::Error> for Error {
    fn from(error: outbox::Error) -> Self {
        let status = match error {
            outbox::Error::Conflict { .. } => ErrorStatus::Aborted,
            outbox::Error::DeviceGone => ErrorStatus::NotFound,
            outbox::Error::Patch(_) => ErrorStatus::FailedPrecondition,
            outbox::Error::Property(_) => ErrorStatus::InvalidArgument,
            outbox::Error::TooMuch(error) => return error.into(),
            outbox::Error::QueueFull { .. } => {
                return Self::new(ErrorStatus::ResourceExhausted, error.to_string()).at_limit(names::QUEUED_COMMANDS);
            }
            outbox::Error::Store(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

impl From<delivery::CallError> for Error {
    fn from(error: delivery::CallError) -> Self {
        let status = match error {
            delivery::CallError::Offline(_)
            | delivery::CallError::NotSubscribed(_)
            | delivery::CallError::NotAllowed(_)
            | delivery::CallError::Refused(_)
            | delivery::CallError::Unreachable(_) => ErrorStatus::FailedPrecondition,
            delivery::CallError::Broken(_) | delivery::CallError::Status(..) => ErrorStatus::Unavailable,
            delivery::CallError::TimedOut(..) => ErrorStatus::DeadlineExceeded,
            delivery::CallError::Busy(..) => ErrorStatus::ResourceExhausted,
            delivery::CallError::Invalid(_) => ErrorStatus::InvalidArgument,
            delivery::CallError::TooMuch(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}
