//! What the head of a call may hold: its URL and its headers. It is checked before a call is routed, so that the sizes of the path,
//! parameters and headers are known to be in bounds when they are read.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{app::App, error::Error};
use switchbox_model::limits::{TooMuch, fields};

/// The token in the header `Authorization`. The name of the scheme ignores case (RFC 9110, 11.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Refuses a call whose head is too large.
pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match measure(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => {
            app.handles.counters.limit(error.limit);
            Error::from(error).into_response()
        }
    }
}

fn measure(parts: &Parts) -> Result<(), TooMuch> {
    fields::PATH.check_len("the path", parts.uri.path().len())?;
    let headers = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    fields::HEAD.check_len("the call's URL with its headers", url_bytes(&parts.uri) + headers.sum::<usize>())
}

fn url_bytes(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |path| path.as_str().len()) + uri.authority().map_or(0, |host| host.as_str().len())
}
