//! The errors of calls. Independent of HTTP: `reply` converts them to answers.

use std::{io, time::Duration};

use switchbox_admin_api::ErrorStatus;
use switchbox_core::{outbox, registry};
use switchbox_delivery as delivery;
use switchbox_model::{
    InvalidName,
    limits::{LimitName, TooMuch, names},
};
use switchbox_store as store;

/// The kinds of failure, named as Google's APIs name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    InvalidArgument,
    FailedPrecondition,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Aborted,
    AlreadyExists,
    ResourceExhausted,
    Unimplemented,
    Internal,
    Unavailable,
    DeadlineExceeded,
    /// `Aborted` for a call with `If-Match`, which has a separate HTTP code.
    OtherRevision,
    /// HTTP has a code for it, Google's API has no word.
    TooLarge,
}

impl Kind {
    pub(super) fn status(self) -> ErrorStatus {
        match self {
            Self::InvalidArgument | Self::TooLarge => ErrorStatus::InvalidArgument,
            Self::FailedPrecondition => ErrorStatus::FailedPrecondition,
            Self::Unauthenticated => ErrorStatus::Unauthenticated,
            Self::PermissionDenied => ErrorStatus::PermissionDenied,
            Self::NotFound => ErrorStatus::NotFound,
            Self::Aborted | Self::OtherRevision => ErrorStatus::Aborted,
            Self::AlreadyExists => ErrorStatus::AlreadyExists,
            Self::ResourceExhausted => ErrorStatus::ResourceExhausted,
            Self::Unimplemented => ErrorStatus::Unimplemented,
            Self::Internal => ErrorStatus::Internal,
            Self::Unavailable => ErrorStatus::Unavailable,
            Self::DeadlineExceeded => ErrorStatus::DeadlineExceeded,
        }
    }
}

/// A refused call; the text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Error {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// The path of the invalid field, if there is one.
    pub(super) field: Option<String>,
    /// How long to wait before a retry.
    pub(super) wait: Option<Duration>,
    /// The limit that was hit; the gate counts it.
    pub(super) limit: Option<LimitName>,
}

impl Error {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), field: None, wait: None, limit: None }
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
        Self::new(Kind::InvalidArgument, text)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let text = format!("the request's body is larger than the {limit} bytes that this call takes");
        Self::new(Kind::TooLarge, text).at_limit(names::ADMIN_BODY)
    }

    pub(super) fn too_often(wait: Duration) -> Self {
        let text = "too many calls in a short time; Retry-After says how long to wait";
        Self { wait: Some(wait), ..Self::new(Kind::ResourceExhausted, text) }
    }

    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("{what} does not exist"))
    }

    /// `what` is not supported by this version.
    pub(super) fn unimplemented(what: &str) -> Self {
        Self::new(Kind::Unimplemented, format!("{what}: not in this version of switchbox"))
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
        Self::new(Kind::Internal, error.to_string())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let kind = if matches!(error, store::Error::Closed) { Kind::Unavailable } else { Kind::Internal };
        Self::new(kind, error.to_string())
    }
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        let kind = match error {
            registry::Error::NoSuch(_) | registry::Error::NoSuchCredential(_) => Kind::NotFound,
            registry::Error::Exists(_) | registry::Error::HasCredential(_) => Kind::AlreadyExists,
            registry::Error::OtherRevision { what, expected, current } => {
                let text = format!(
                    "{what} was changed since it was read: its ETag is \"{current}\", not \"{expected}\"; read it again"
                );
                return Self::new(Kind::OtherRevision, text);
            }
            registry::Error::OtherVersion { .. } => Kind::Aborted,
            registry::Error::NotEmpty(_)
            | registry::Error::HasBound(_)
            | registry::Error::NotBindable(_)
            | registry::Error::Patch(_) => Kind::FailedPrecondition,
            registry::Error::NotBound { .. } => Kind::NotFound,
            registry::Error::Full(full) => {
                return Self::new(Kind::ResourceExhausted, full.to_string()).at_limit(full.limit);
            }
            registry::Error::TooMuch(error) => return error.into(),
            registry::Error::Store(error) => return error.into(),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<outbox::Error> for Error {
    fn from(error: outbox::Error) -> Self {
        let kind = match error {
            outbox::Error::Conflict { .. } => Kind::Aborted,
            outbox::Error::DeviceGone => Kind::NotFound,
            outbox::Error::Patch(_) => Kind::FailedPrecondition,
            outbox::Error::Property(_) => Kind::InvalidArgument,
            outbox::Error::TooMuch(error) => return error.into(),
            outbox::Error::QueueFull { .. } => {
                return Self::new(Kind::ResourceExhausted, error.to_string()).at_limit(names::QUEUED_COMMANDS);
            }
            outbox::Error::Store(error) => return error.into(),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<delivery::CallError> for Error {
    fn from(error: delivery::CallError) -> Self {
        let kind = match error {
            delivery::CallError::Offline(_)
            | delivery::CallError::NotSubscribed(_)
            | delivery::CallError::NotAllowed(_)
            | delivery::CallError::Unreachable(_) => Kind::FailedPrecondition,
            delivery::CallError::Broken(_) => Kind::Unavailable,
            delivery::CallError::TimedOut(..) => Kind::DeadlineExceeded,
            delivery::CallError::Busy(..) => Kind::ResourceExhausted,
            delivery::CallError::Invalid(_) => Kind::InvalidArgument,
            delivery::CallError::TooMuch(error) => return error.into(),
        };
        Self::new(kind, error.to_string())
    }
}
