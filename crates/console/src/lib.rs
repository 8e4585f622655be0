//! The console: the page at `/` of the admin listener, from files inside the binary. Serves files and knows nothing of the host: the
//! page asks the public HTTP API, with the token that a person gives it.

mod files;

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use files::{FILES, File};

/// No code and no style but that of the files, no other host, no way for text to become markup, and no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The page and its files, for the router of the admin listener.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(move |request: Request| async move { served(file, &request) }))
    })
}

/// The browser keeps the files, and asks each time whether they are those of the host that runs: after an upgrade they are not.
fn served(file: &'static File, request: &Request) -> Response {
    let etag = file.etag();
    let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|shown| shown == etag.as_str());
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { file.bytes.into_response() };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, file.content_type()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}
