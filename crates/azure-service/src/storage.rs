//! Responses of the storage service: errors as XML with a code, and the headers that its clients read.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use switchbox_azure::storage::{BadStorageCall, VERSION};
use switchbox_files as files;
use switchbox_model::limits::LimitName;
use switchbox_support::clock;

/// Why a call of the storage service was refused, or failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct StorageError {
    status: StatusCode,
    /// What the storage service calls it.
    code: &'static str,
    text: String,
    /// The limit that was hit.
    limit: Option<LimitName>,
}

impl StorageError {
    pub(crate) fn new(status: StatusCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), limit: None }
    }

    /// The signature is wrong or has expired, or the upload has ended. All have the same text, so that a client cannot probe for uploads.
    pub(crate) fn authentication_failed() -> Self {
        let text =
            "the upload URL's signature is wrong or has expired, or its upload has ended; ask the hub for another";
        Self::new(StatusCode::FORBIDDEN, "AuthenticationFailed", text)
    }

    pub(crate) fn no_permission(what: &str) -> Self {
        let text = format!("this upload URL only allows writing one block blob; {what} is not allowed");
        Self::new(StatusCode::FORBIDDEN, "AuthorizationPermissionMismatch", text)
    }

    pub(crate) fn header(name: &str, why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "UnsupportedHeader", format!("the header {name}: {why}"))
    }

    pub(crate) fn failed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the call failed on its way")
    }

    #[must_use]
    pub(crate) fn limit(self, limit: LimitName) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

impl From<BadStorageCall> for StorageError {
    fn from(error: BadStorageCall) -> Self {
        let code = match &error {
            BadStorageCall::BlockList(_) => "InvalidXmlDocument",
            _ => "InvalidQueryParameterValue",
        };
        Self::new(StatusCode::BAD_REQUEST, code, error.to_string())
    }
}

impl From<files::Error> for StorageError {
    fn from(error: files::Error) -> Self {
        use files::Error;
        let (status, code) = match &error {
            Error::NoUpload => return Self::authentication_failed(),
            // A status that clients do not try again.
            Error::Full { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestBodyTooLarge"),
            Error::Exists => (StatusCode::CONFLICT, "BlobAlreadyExists"),
            Error::Block(_) => (StatusCode::BAD_REQUEST, "InvalidBlockList"),
            Error::Disk(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServerBusy"),
        };
        let limit = if let Error::Full { limit, .. } = &error { Some(*limit) } else { None };
        Self { limit, ..Self::new(status, code, error.to_string()) }
    }
}

impl IntoResponse for StorageError {
    fn into_response(self) -> Response {
        let escaped = self.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{escaped}</Message></Error>",
            self.code
        );
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        headers.insert("x-ms-error-code", HeaderValue::from_static(self.code));
        if let Some(limit) = self.limit {
            response.extensions_mut().insert(limit);
        }
        response
    }
}

/// Adds the headers that every response has: the version and the id of the request, and an id of the response.
pub(crate) fn with_common_headers(mut response: Response, request_headers: &HeaderMap) -> Response {
    let version = HeaderName::from_static("x-ms-version");
    let id = HeaderName::from_static("x-ms-client-request-id");
    let headers = response.headers_mut();
    let given = |name: &HeaderName| request_headers.get(name).filter(|value| value.len() <= 64).cloned();
    headers.insert(&version, given(&version).unwrap_or(HeaderValue::from_static(VERSION)));
    if let Some(given) = given(&id) {
        headers.insert(&id, given);
    }
    let own = getrandom::u64().map_or_else(|_| String::new(), |number| format!("{number:016x}"));
    if let Ok(own) = HeaderValue::try_from(own) {
        headers.insert("x-ms-request-id", own);
    }
    response
}

/// 201 with the ETag and the time of the stored file.
pub(crate) fn created(stored: files::Stored) -> Response {
    let mut response = created_block();
    let headers = response.headers_mut();
    let texts = [
        (header::ETAG, format!("\"0x{:X}-{:X}\"", stored.time_ms, stored.bytes)),
        (header::LAST_MODIFIED, clock::http_date(stored.time_ms)),
    ];
    for (name, text) in texts {
        if let Ok(text) = HeaderValue::try_from(text) {
            headers.insert(name, text);
        }
    }
    response
}

/// 201 for a block.
pub(crate) fn created_block() -> Response {
    let mut response = StatusCode::CREATED.into_response();
    response.headers_mut().insert("x-ms-request-server-encrypted", HeaderValue::from_static("false"));
    response
}
