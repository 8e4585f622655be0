//! The router, made from the one table of calls that the OpenAPI document is made from as well: neither can have what the
//! other has not.
//!
//! Google's verbs (`POST …/devices/lamp-1:sendCommandToDevice`) are no path segments of their own, so before routing the last
//! colon of a POST becomes one: `…/devices/lamp-1/:sendCommandToDevice`. A device's id may hold colons itself.

mod call;
mod devices;
mod host;
mod plugins;
mod services;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, Uri},
    middleware,
    routing::MethodRouter,
};
pub(super) use call::{Call, Shape};

use super::{
    App,
    convert::BodyShape,
    error::{Error, Kind},
    gate::{self, Gate},
    head,
    reply::BodyBytes,
};

/// The table.
pub(super) fn calls() -> Vec<Call> {
    [host::calls(), devices::calls(), plugins::calls(), services::calls()].into_iter().flatten().collect()
}

pub(super) fn routes(app: App) -> Router {
    // Verbs begin with a colon, which an older axum took for a capture.
    let mut router = Router::new().without_v07_checks();
    for call in calls() {
        let (scope, body_bytes, takes_if_match) = (call.scope, call.body_bytes, call.takes_if_match);
        let gate = Gate { app: app.clone(), scope, body_bytes, takes_if_match };
        let route: MethodRouter<App> = call.route.layer(DefaultBodyLimit::max(call.body_bytes));
        let route: MethodRouter<App> = route.layer(Extension(BodyBytes(call.body_bytes)));
        let route = match call.takes {
            // Google's names and Switchbox's own beside them; the rest of the API is newer than Google's way with queries.
            Some(Shape::Json(name)) if call.path.starts_with("/v1/projects/") => {
                route.layer(Extension(BodyShape { name, parameters: call.params }))
            }
            _ => route,
        };
        let route = route.layer(middleware::from_fn_with_state(gate, gate::check));
        let path = call.verb.map_or(call.path.clone(), |verb| format!("{}/:{verb}", call.path));
        router = router.route(&path, route);
    }
    let router = router.fallback(nothing).method_not_allowed_fallback(not_so).with_state(app.clone());
    router.layer(middleware::from_fn_with_state(app, head::check))
}

/// Makes a verb a segment of its own.
pub(super) fn split_verb(mut request: Request) -> Request {
    if request.method() == Method::POST
        && let Some(uri) = with_verb_apart(request.uri())
    {
        *request.uri_mut() = uri;
    }
    request
}

fn with_verb_apart(uri: &Uri) -> Option<Uri> {
    let (head, verb) = uri.path().rsplit_once(':')?;
    if verb.is_empty() || !verb.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    format!("{head}/:{verb}{query}").parse().ok()
}

/// The path as the caller wrote it.
pub(super) fn shown(uri: &Uri) -> String {
    uri.path().replacen("/:", ":", 1)
}

async fn nothing(State(app): State<App>, request: Request) -> Error {
    if let Err(error) = gate::passes_by(&app, &request) {
        return error;
    }
    let uri = request.uri();
    match shown(uri) {
        path if path != uri.path() => Error::unimplemented(&path),
        path => Error::new(Kind::NotFound, format!("this API has no {path}; /openapi.json says what it has")),
    }
}

async fn not_so(State(app): State<App>, request: Request) -> Error {
    if let Err(error) = gate::passes_by(&app, &request) {
        return error;
    }
    let (method, uri) = (request.method(), request.uri());
    let verb = if *method == Method::POST { "; a POST there ends in a :VERB" } else { "" };
    Error::new(Kind::Unimplemented, format!("{} cannot be done with {method}{verb}", shown(uri)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::Params;
    use switchbox_support::metrics::Metrics;

    #[test]
    fn every_query_parameter_has_a_bound() {
        for call in calls() {
            for name in call.params {
                let params = Params::new(vec![((*name).to_owned(), "1".to_owned())], Metrics::default()).unwrap();
                assert_eq!(
                    params.only(call.params),
                    Ok(()),
                    "give {name} of {} a bound in convert/params.rs",
                    call.path
                );
            }
        }
    }

    #[test]
    fn a_verb_is_what_follows_the_last_colon_of_the_last_segment() {
        for (path, expected) in [
            ("/v1/x/devices/a:sendCommandToDevice?p=1", Some("/v1/x/devices/a/:sendCommandToDevice?p=1")),
            ("/v1/x/devices/odd:name:invokeMethod", Some("/v1/x/devices/odd:name/:invokeMethod")),
            ("/v1/x/devices/a", None),
            ("/v1/projects/example.com:home/locations/l/registries", None),
            ("/v1/x/devices/a:", None),
            ("/v1/x/devices/a:7", None),
        ] {
            let apart = with_verb_apart(&path.parse().unwrap());
            assert_eq!(apart.as_ref().map(ToString::to_string).as_deref(), expected, "{path}");
            if let Some(apart) = apart {
                assert_eq!(Some(shown(&apart).as_str()), path.split('?').next());
            }
        }
    }
}
