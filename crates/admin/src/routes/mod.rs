//! The router, made from the one table of calls that the OpenAPI document is made from as well: neither can have what the
//! other has not.

pub(super) mod call;
mod devices;
mod host;
mod plugins;
mod services;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::Method,
    middleware,
    response::{IntoResponse as _, Response},
    routing::MethodRouter,
};
use call::{Call, Shape};

use super::{
    app::App,
    error::{Error, ErrorStatus},
    gate::{self, Gate},
    head,
    openapi::Document,
    reply::{BodyBytes, BodyQuery},
    verb_paths::shown,
};

/// The table.
pub(super) fn calls() -> Vec<Call> {
    [host::calls(), devices::calls(), plugins::calls(), services::calls()].into_iter().flatten().collect()
}

pub(super) fn routes(app: App) -> Router {
    // Verbs begin with a colon, which an older axum took for a capture.
    let mut router = Router::new().without_v07_checks();
    let calls = calls();
    let document = Document::of(&calls);
    for call in calls {
        let (scope, body_bytes, takes_if_match) = (call.scope, call.body_bytes, call.takes_if_match);
        let verb = call.verb.map(|verb| format!(":{verb}")).unwrap_or_default();
        let name = format!("{} {}{verb}", call.method, call.path).into();
        let gate = Gate { app: app.clone(), scope, body_bytes, takes_if_match, call: name };
        let route: MethodRouter<App> = call.route.layer(DefaultBodyLimit::max(call.body_bytes));
        let route: MethodRouter<App> = route.layer(Extension(BodyBytes(call.body_bytes)));
        let route = match call.takes {
            // Google's names and Switchbox's own beside them; the rest of the API is newer than Google's way with queries.
            Some(Shape::Json(body)) if call.path.starts_with("/v1/projects/") => {
                route.layer(Extension(BodyQuery { objects: body.objects, parameters: call.params }))
            }
            _ => route,
        };
        let route = route.layer(middleware::from_fn_with_state(gate, gate::check));
        let path = call.verb.map_or(call.path.clone(), |verb| format!("{}/:{verb}", call.path));
        router = router.route(&path, route);
    }
    let console = switchbox_console::routes().layer(middleware::from_fn_with_state(app.clone(), check_rate));
    let router = router.merge(console).fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    let router = router.layer(Extension(document)).with_state(app.clone());
    router.layer(middleware::from_fn_with_state(app, head::check))
}

/// The files of the console need no token, so they count as what an address without one may ask for.
async fn check_rate(State(app): State<App>, request: Request, next: middleware::Next) -> Response {
    match gate::check_unauthenticated_rate(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn not_found(State(app): State<App>, request: Request) -> Error {
    if let Err(error) = gate::check_unauthenticated_rate(&app, &request) {
        return error;
    }
    let uri = request.uri();
    match shown(uri) {
        path if path != uri.path() => Error::unimplemented(&path),
        path => Error::new(ErrorStatus::NotFound, format!("this API has no {path}; /openapi.json says what it has")),
    }
}

async fn method_not_allowed(State(app): State<App>, request: Request) -> Error {
    if let Err(error) = gate::check_unauthenticated_rate(&app, &request) {
        return error;
    }
    let (method, uri) = (request.method(), request.uri());
    let verb = if *method == Method::POST { "; a POST there ends in a :VERB" } else { "" };
    Error::new(ErrorStatus::Unimplemented, format!("{} cannot be done with {method}{verb}", shown(uri)))
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
}
