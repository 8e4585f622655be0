//! Converts between the API's types and HTTP: status codes and bodies.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request, rejection::BytesRejection},
    http::{StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    app::App,
    convert::{Objects, Params, camel, read_with},
    details,
    error::{Error, Kind},
};
use switchbox_admin_api::Time;
use switchbox_model::limits;
use switchbox_support::{log_limit::SiteLimit, metrics::Metrics};

/// At most this many such lines per minute are logged; the others are counted.
static FAILED_CALLS: SiteLimit = SiteLimit::new(10);

/// The result of a handler.
pub(super) type ApiResult<T> = Result<axum::Json<T>, Error>;
/// The answer of a successful call without content.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Empty {}
/// The result of the handler of a list.
pub(super) type Page = Result<Response, Error>;

/// A page of a list. Items are serialised as they are added, so that the objects need not be in memory at the same time.
pub(super) struct List {
    field: &'static str,
    text: Vec<u8>,
    items: usize,
    full: bool,
    /// Whether the field is present even without items, as in Switchbox's own lists. Google's APIs omit it.
    always: bool,
    /// How far the journal was searched.
    searched_to: Option<Time>,
}

impl List {
    pub(super) fn new(field: &'static str) -> Self {
        Self { field, text: Vec::new(), items: 0, full: false, always: false, searched_to: None }
    }

    pub(super) fn always(self) -> Self {
        Self { always: true, ..self }
    }

    /// The page has all that match and are newer. Shown if there is a next page.
    pub(super) fn searched_to(self, ms: Option<u64>) -> Self {
        Self { searched_to: ms.map(Time), ..self }
    }

    /// Adds the item. Returns false if the page has no room for it. There is always room for the first.
    pub(super) fn push(&mut self, item: &impl Serialize) -> bool {
        let at = self.text.len();
        self.write(item);
        self.full = self.text.len() > limits::ADMIN_PAGE_BYTES && self.items > 0;
        if self.full {
            self.text.truncate(at);
        } else {
            self.items += 1;
        }
        !self.full
    }

    pub(super) fn len(&self) -> usize {
        self.items
    }

    /// A list of all `items`, whose size the caller has limited. `full`: the limit left some out.
    pub(super) fn of<T, S: Serialize>(field: &'static str, items: &[T], show: impl Fn(&T) -> S, full: bool) -> Self {
        let mut list = Self::new(field);
        items.iter().for_each(|item| list.write(&show(item)));
        (list.items, list.full) = (items.len(), full);
        list
    }

    fn write(&mut self, item: &impl Serialize) {
        if !self.text.is_empty() {
            self.text.push(b',');
        }
        // A type of the API can always be JSON, and memory can always be written.
        let _ = serde_json::to_writer(&mut self.text, item);
    }

    /// The page. `next` is where the next one begins.
    pub(super) fn page(self, next: Option<String>, metrics: &Metrics) -> Response {
        if self.full {
            metrics.limit(limits::names::ADMIN_PAGE_BYTES);
        }
        let (mut text, shown) = (vec![b'{'], self.items > 0 || self.always);
        if shown {
            text.extend_from_slice(format!("{}:[", json!(self.field)).as_bytes());
            text.extend_from_slice(&self.text);
            text.push(b']');
        }
        if let Some(next) = next {
            let comma = if shown { "," } else { "" };
            text.extend_from_slice(format!("{comma}\"nextPageToken\":{}", json!(next)).as_bytes());
            if let Some(to) = self.searched_to {
                text.extend_from_slice(format!(",\"searchedTo\":{}", json!(to)).as_bytes());
            }
        }
        text.push(b'}');
        ([(header::CONTENT_TYPE, "application/json")], text).into_response()
    }
}

/// JSON that is text already.
pub(super) struct JsonText(pub(super) String);

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

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
        Kind::OtherRevision => StatusCode::PRECONDITION_FAILED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = code(self.kind);
        if self.kind == Kind::Internal
            && let Some(more) = FAILED_CALLS.allow()
        {
            tracing::error!(error = %self.text, "a call of the admin API failed{more}");
        }
        let limit = self.limit;
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
    use http_body_util::BodyExt;

    use super::*;
    use serde_json::Value;
    use switchbox_admin_api::{Device, SetPasswordRequest};

    fn written(list: List, next: Option<&str>) -> Value {
        let metrics = Metrics::default();
        let page = list.page(next.map(str::to_owned), &metrics);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(page.into_body().collect()).unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_page_is_json_with_what_fits_in_it() {
        let text = "x".repeat(limits::ADMIN_PAGE_BYTES / 2 - 100);
        let mut list = List::new("items");
        let taken = [(); 3].map(|()| list.push(&json!(text)));
        assert_eq!(taken, [true, true, false]);
        assert_eq!(written(list, Some("2")), json!({"items": [text, text], "nextPageToken": "2"}));
        let mut list = List::new("items");
        let huge = "x".repeat(limits::ADMIN_PAGE_BYTES * 2);
        assert!(list.push(&json!(huge)) && !list.push(&json!(1)));
        assert_eq!(written(list, None), json!({"items": [huge]}));
        assert_eq!(written(List::new("items"), None), json!({}));
        assert_eq!(written(List::new("items"), Some("a")), json!({"nextPageToken": "a"}));
        assert_eq!(written(List::new("items").always(), Some("a")), json!({"items": [], "nextPageToken": "a"}));
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
