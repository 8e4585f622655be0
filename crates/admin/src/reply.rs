//! Converts between the API's types and HTTP: status codes and bodies.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request, rejection::BytesRejection},
    http::{HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    app::App,
    convert::{Objects, Params, camel, read_with},
    details,
    error::{Error, ErrorStatus, HttpCode},
};
use switchbox_admin_api::{BadRequest, CallError, ErrorResponse};
use switchbox_model::limits;
use switchbox_support::{log_limit::SiteLimit, metrics::Metrics};

/// At most this many such lines per minute are logged; the others are counted.
static FAILED_CALLS: SiteLimit = SiteLimit::new(10);

/// The result of a handler.
pub(super) type ApiResult<T> = Result<axum::Json<T>, Error>;

/// An item of a list as JSON.
pub(super) type Written = Box<RawValue>;

/// The items of a page of a list. They are serialised as they are added, so that the objects need not be in memory at the same time.
#[derive(Default)]
pub(super) struct Items {
    written: Vec<Written>,
    /// The length of the page with these items.
    bytes: usize,
    full: bool,
}

impl Items {
    /// All of `items`, whose size the caller has limited. `full`: the limit left some out.
    pub(super) fn of<S: Serialize>(items: impl Iterator<Item = S>, full: bool) -> Self {
        Self { written: items.map(|item| written(&item)).collect(), bytes: 0, full }
    }

    /// Adds the item. Returns false if the page has no room for it. There is always room for the first.
    pub(super) fn push(&mut self, item: &impl Serialize) -> bool {
        let item = written(item);
        let comma = usize::from(!self.written.is_empty());
        let bytes = self.bytes + comma + item.get().len();
        self.full = bytes > limits::ADMIN_PAGE_BYTES && !self.written.is_empty();
        if !self.full {
            self.bytes = bytes;
            self.written.push(item);
        }
        !self.full
    }

    pub(super) fn len(&self) -> usize {
        self.written.len()
    }

    /// The items, for the type of the answer.
    pub(super) fn page(self, metrics: &Metrics) -> Vec<Written> {
        if self.full {
            metrics.limit(limits::names::ADMIN_PAGE_BYTES);
        }
        self.written
    }
}

fn written(item: &impl Serialize) -> Written {
    // A type of the API can always be JSON.
    to_raw_value(item).unwrap_or_default()
}

fn code(error: &Error) -> StatusCode {
    match error.http_code {
        Some(HttpCode::PreconditionFailed) => return StatusCode::PRECONDITION_FAILED,
        Some(HttpCode::PayloadTooLarge) => return StatusCode::PAYLOAD_TOO_LARGE,
        None => {}
    }
    match error.status {
        ErrorStatus::InvalidArgument | ErrorStatus::FailedPrecondition => StatusCode::BAD_REQUEST,
        ErrorStatus::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorStatus::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorStatus::NotFound => StatusCode::NOT_FOUND,
        ErrorStatus::Aborted | ErrorStatus::AlreadyExists => StatusCode::CONFLICT,
        ErrorStatus::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorStatus::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorStatus::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorStatus::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorStatus::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = code(&self);
        if self.status == ErrorStatus::Internal
            && let Some(more) = FAILED_CALLS.allow()
        {
            tracing::error!(error = %self.text, "a call of the admin API failed{more}");
        }
        let limit = self.limit;
        let details = self.field.map(|field| BadRequest::of_field(field, self.text.clone()));
        let error = CallError {
            code: code.as_u16(),
            message: self.text,
            status: self.status,
            details: details.into_iter().collect(),
        };
        let mut response = (code, axum::Json(ErrorResponse { error })).into_response();
        if code == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.wait {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(limit) = limit {
            response.extensions_mut().insert(limit);
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
        let read = Bytes::from_request(request, state).await;
        let read = read.map_err(|rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::too_large(limit),
            _ => Error::invalid(rejection.body_text()),
        })?;
        details::body(&read);
        Ok(Self(read))
    }
}

/// A body that is JSON of this shape, with those of its fields that stand in the query. An empty one counts as `{}`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + JsonSchema + 'static, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let fields = match request.extensions().get::<BodyQuery>() {
            Some(of_body) => {
                let pairs = query(request.uri())?.into_iter().map(|(name, value)| (camel(&name), value));
                pairs.filter(|(name, _)| of_body.has(name)).collect()
            }
            None => Vec::new(),
        };
        let Raw(bytes) = Raw::from_request(request, state).await?;
        read_with(&bytes, &fields).map(Self)
    }
}

/// Fields that must not be in a URL, as proxies log URLs.
const SECRETS: [&str; 2] = ["password", "symmetricKeys"];

/// Says of a call that fields of its body may stand in its query.
#[derive(Clone, Copy)]
pub(super) struct BodyQuery {
    /// Those of the body.
    pub(super) objects: fn() -> Arc<Objects>,
    /// The query's own parameters.
    pub(super) parameters: &'static [&'static str],
}

impl BodyQuery {
    fn has(self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        !SECRETS.contains(&first) && !self.parameters.contains(&first) && (self.objects)().has(first)
    }
}

impl FromRequestParts<App> for Params {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let mut pairs = query(&parts.uri)?;
        // Fields of the body are bounded by their own limits.
        if let Some(of_body) = parts.extensions.get::<BodyQuery>() {
            pairs.retain(|(name, _)| !of_body.has(&camel(name)));
        }
        Self::new(pairs, app.handles.counters.clone())
    }
}

fn query(uri: &Uri) -> Result<Vec<(String, String)>, Error> {
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).map_err(|error| Error::invalid(error.body_text()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use switchbox_admin_api::{Device, SetPasswordRequest};

    fn items(list: Items) -> Value {
        serde_json::to_value(list.page(&Metrics::default())).unwrap()
    }

    #[test]
    fn a_page_has_what_fits_in_it() {
        let text = "x".repeat(limits::ADMIN_PAGE_BYTES / 2 - 100);
        let mut list = Items::default();
        let taken = [(); 3].map(|()| list.push(&json!(text)));
        assert_eq!(taken, [true, true, false]);
        assert_eq!(items(list), json!([text, text]));
        let mut list = Items::default();
        let huge = "x".repeat(limits::ADMIN_PAGE_BYTES * 2);
        assert!(list.push(&json!(huge)) && !list.push(&json!(1)));
        assert_eq!(items(list), json!([huge]));
    }

    #[test]
    fn what_was_left_out_of_a_page_is_counted() {
        let metrics = Metrics::default();
        let page = |full| serde_json::to_value(Items::of([1, 2].into_iter(), full).page(&metrics)).unwrap();
        assert_eq!(page(false), json!([1, 2]));
        assert_eq!(metrics.limit_hits(limits::names::ADMIN_PAGE_BYTES), 0);
        assert_eq!(page(true), json!([1, 2]));
        assert_eq!(metrics.limit_hits(limits::names::ADMIN_PAGE_BYTES), 1);
    }

    #[test]
    fn a_parameter_is_the_querys_own_or_a_field_of_the_body_but_no_secret() {
        let of_device = BodyQuery { objects: Objects::of::<Device>, parameters: &["updateMask"] };
        assert_eq!(
            ["gatewayConfig.gatewayType", "updateMask", "colour", "symmetricKeys.primaryKey"]
                .map(|name| of_device.has(name)),
            [true, false, false, false]
        );
        let of_password = BodyQuery { objects: Objects::of::<SetPasswordRequest>, parameters: &[] };
        assert!(!of_password.has("password"));
    }
}
