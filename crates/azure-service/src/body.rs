//! Bodies of calls: JSON within a limit. An empty body counts as `{}`.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
};
use serde::de::DeserializeOwned;

use crate::error::{Code, ServiceError};
use switchbox_model::limits::names;

/// A JSON body of type `T`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ServiceError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ServiceError> {
        let bytes = bytes(request, state).await?;
        let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
        let read = serde_json::from_slice(text);
        read.map(Self).map_err(|error| ServiceError::invalid(format!("the body cannot be read: {error}")))
    }
}

/// The raw body. The router bounds its size and its time.
pub(crate) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ServiceError> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ServiceError::new(Code::RequestTooLarge, "the body is too large").limit(names::HUB_API_BODY)
        }
        _ => ServiceError::invalid(rejection.body_text()),
    })
}
