//! Errors in the format of Azure's service: a status, a code with a number, and a text that says what is wrong.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use switchbox_azure_query::QueryError;
use switchbox_core::{ingest, outbox, registry};
use switchbox_delivery::{CallError, CancelError, SettleError};
use switchbox_model::limits::{LimitName, TooMuch, names};
use switchbox_store as store;
use switchbox_support::{clock, metrics::Metrics};

/// Azure's error codes. A code's number is its HTTP status with three more digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    ArgumentInvalid,
    InvalidProtocolVersion,
    Unauthorized,
    DeviceNotFound,
    EnrollmentNotFound,
    EnrollmentExists,
    DeviceNotOnline,
    NotFound,
    MethodNotAllowed,
    DeviceAlreadyExists,
    DeviceMaximumQueueDepthExceeded,
    PreconditionFailed,
    DeviceMessageLockLost,
    RequestTooLarge,
    Throttled,
    NotSupported,
    DeviceUnreachable,
    ServiceUnavailable,
    DeviceTimeout,
}

impl Code {
    fn parts(self) -> (&'static str, u32) {
        match self {
            Self::ArgumentInvalid => ("ArgumentInvalid", 400_004),
            Self::InvalidProtocolVersion => ("InvalidProtocolVersion", 400_001),
            Self::Unauthorized => ("IotHubUnauthorizedAccess", 401_002),
            Self::DeviceNotFound => ("DeviceNotFound", 404_001),
            Self::EnrollmentNotFound => ("EnrollmentNotFound", 404_201),
            Self::EnrollmentExists => ("EnrollmentConflict", 409_201),
            Self::DeviceNotOnline => ("DeviceNotOnline", 404_103),
            Self::NotFound => ("ResourceNotFound", 404_000),
            Self::MethodNotAllowed => ("HttpMethodNotAllowed", 405_001),
            Self::DeviceAlreadyExists => ("DeviceAlreadyExists", 409_001),
            Self::DeviceMaximumQueueDepthExceeded => ("DeviceMaximumQueueDepthExceeded", 403_004),
            Self::PreconditionFailed => ("PreconditionFailed", 412_001),
            Self::DeviceMessageLockLost => ("DeviceMessageLockLost", 412_002),
            Self::RequestTooLarge => ("RequestTooLarge", 413_001),
            Self::Throttled => ("ThrottlingException", 429_001),
            Self::NotSupported => ("NotSupported", 501_000),
            Self::DeviceUnreachable => ("DeviceUnreachable", 502_000),
            Self::ServiceUnavailable => ("ServiceUnavailable", 503_001),
            Self::DeviceTimeout => ("GatewayTimeout", 504_101),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.parts().0
    }

    pub(crate) fn number(self) -> u32 {
        self.parts().1
    }

    fn status(self) -> StatusCode {
        let status = u16::try_from(self.number() / 1_000).ok().and_then(|status| StatusCode::from_u16(status).ok());
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Why a call was refused, or failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct ServiceError {
    pub(crate) code: Code,
    text: String,
    /// The limit that was hit.
    limit: Option<LimitName>,
    /// When the caller may try again.
    wait: Option<Duration>,
}

impl ServiceError {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), limit: None, wait: None }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(Code::ArgumentInvalid, text)
    }

    /// The error for a part of Azure's API that this host does not support.
    pub(crate) fn not_supported(what: &str) -> Self {
        Self::new(Code::NotSupported, format!("{what}: not supported by this host; docs/azure.md lists what is"))
    }

    pub(crate) fn precondition(what: &str) -> Self {
        Self::new(Code::PreconditionFailed, format!("{what} was changed since it had the ETag in If-Match"))
    }

    /// A call without an ETag that other calls outran each time it computed its change.
    pub(crate) fn outrun(what: &str) -> Self {
        let text = format!("{what} is changed by other calls all the time; call again later");
        Self::new(Code::Throttled, text).limit(names::CHANGE_ATTEMPTS)
    }

    /// Says what was done before the error.
    #[must_use]
    pub(crate) fn after(self, done: &str) -> Self {
        let text = format!("{done}: {}", self.text);
        Self { text, ..self }
    }

    #[must_use]
    pub(crate) fn limit(self, limit: LimitName) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// For an error that is only a part of an answer. The gate counts the limit of a whole answer.
    pub(crate) fn count(&self, metrics: &Metrics) {
        self.limit.into_iter().for_each(|limit| metrics.limit(limit));
    }

    #[must_use]
    pub(crate) fn wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }
}

impl From<TooMuch> for ServiceError {
    fn from(error: TooMuch) -> Self {
        Self::new(Code::ArgumentInvalid, error.to_string()).limit(error.limit)
    }
}

impl From<QueryError> for ServiceError {
    fn from(error: QueryError) -> Self {
        let refused = Self::new(Code::ArgumentInvalid, format!("the query was refused: {error}"));
        if error.is_limit() { refused.limit(names::HUB_QUERY) } else { refused }
    }
}

impl From<store::Error> for ServiceError {
    fn from(error: store::Error) -> Self {
        Self::new(Code::ServiceUnavailable, error.to_string())
    }
}

impl From<registry::Error> for ServiceError {
    fn from(error: registry::Error) -> Self {
        use registry::Error;
        let code = match &error {
            Error::NoSuch(_) => Code::DeviceNotFound,
            Error::Exists(_) => Code::DeviceAlreadyExists,
            Error::OtherRevision { .. } | Error::OtherVersion { .. } => Code::PreconditionFailed,
            Error::TooMuch(too_much) | Error::Full(too_much) => return too_much.clone().into(),
            Error::Store(error) => return error.clone().into(),
            _ => Code::ArgumentInvalid,
        };
        Self::new(code, error.to_string())
    }
}

impl From<outbox::Error> for ServiceError {
    fn from(error: outbox::Error) -> Self {
        use outbox::Error;
        let code = match &error {
            Error::Conflict { .. } => Code::PreconditionFailed,
            Error::DeviceGone => Code::DeviceNotFound,
            Error::Patch(_) | Error::Property(_) => Code::ArgumentInvalid,
            Error::QueueFull { .. } => Code::DeviceMaximumQueueDepthExceeded,
            Error::TooMuch(too_much) => return too_much.clone().into(),
            Error::Store(error) => return error.clone().into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<CallError> for ServiceError {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Offline(_) | CallError::NotSubscribed(_) => Code::DeviceNotOnline,
            CallError::TimedOut(..) => Code::DeviceTimeout,
            CallError::Busy(..) => Code::Throttled,
            CallError::Invalid(_) => Code::ArgumentInvalid,
            CallError::TooMuch(too_much) => return too_much.clone().into(),
            CallError::NotAllowed(_)
            | CallError::Unreachable(_)
            | CallError::Broken(_)
            | CallError::Refused(_)
            | CallError::Status(..) => Code::DeviceUnreachable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<CancelError> for ServiceError {
    fn from(error: CancelError) -> Self {
        Self::new(Code::ServiceUnavailable, error.to_string())
    }
}

impl From<SettleError> for ServiceError {
    fn from(error: SettleError) -> Self {
        let code = match &error {
            SettleError::NotLocked => Code::DeviceMessageLockLost,
            SettleError::Journal(_) => Code::ServiceUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ingest::Error> for ServiceError {
    fn from(error: ingest::Error) -> Self {
        Self::new(Code::ServiceUnavailable, error.to_string())
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let (name, number) = self.code.parts();
        let tracking = getrandom::u64().map_or_else(|_| String::new(), |number| format!("{number:016x}"));
        let at = clock::rfc3339(clock::now_ms());
        let message = match self.code {
            // Azure's SDKs read the error number from this text.
            Code::DeviceNotOnline | Code::DeviceTimeout => json!({
                "errorCode": number, "trackingId": tracking, "message": self.text, "timestampUtc": at,
            })
            .to_string(),
            _ => format!("ErrorCode:{name};{}", self.text),
        };
        let body = json!({ "Message": message, "ExceptionMessage": format!("Tracking ID:{tracking}-TimeStamp:{at}") });
        let mut response = (self.code.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert("iothub-errorcode", HeaderValue::from_static(name));
        if let Some(wait) = self.wait {
            headers.insert(header::RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        if let Some(limit) = self.limit {
            response.extensions_mut().insert(limit);
        }
        response
    }
}
