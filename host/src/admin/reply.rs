//! Where the API meets HTTP: status codes, bodies, what a request carries. The only file that knows both sides.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request, rejection::BytesRejection},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    convert::{Params, read},
    error::{Error, Kind},
};
use crate::log_limit::SiteLimit;

/// Of such lines the log gets ten a minute, and how many there are.
static FAILED_CALLS: SiteLimit = SiteLimit::new(10);

/// What a handler gives.
pub(super) type Answer = Result<axum::Json<Value>, Error>;

fn code(kind: Kind) -> StatusCode {
    match kind {
        Kind::InvalidArgument | Kind::FailedPrecondition => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::PermissionDenied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Aborted | Kind::AlreadyExists => StatusCode::CONFLICT,
        Kind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = code(self.kind);
        if self.kind == Kind::Internal
            && let Some(more) = FAILED_CALLS.note()
        {
            tracing::error!(error = %self.text, "a call of the admin API failed{more}");
        }
        let mut error = json!({"code": code.as_u16(), "message": self.text, "status": self.kind.word()});
        if let (Some(field), Some(fields)) = (&self.field, error.as_object_mut()) {
            let violation = json!({"field": field, "description": self.text});
            let details =
                json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]);
            fields.insert("details".into(), details);
        }
        let mut response = (code, axum::Json(json!({ "error": error }))).into_response();
        if let Some(wait) = self.wait {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The largest body that a call takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyBytes(pub(super) usize);

/// A request's body, within its limit.
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let limit = request.extensions().get::<BodyBytes>().map_or(0, |BodyBytes(limit)| *limit);
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection: BytesRejection| {
            match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Error::too_large(limit),
                _ => Error::invalid(rejection.body_text()),
            }
        })
    }
}

/// A body that is JSON of this shape. An empty one counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        read(&bytes).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        query.map(|Query(pairs)| Self::new(pairs)).map_err(|e| Error::invalid(e.body_text()))
    }
}
