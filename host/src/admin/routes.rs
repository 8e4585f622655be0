//! Every route there is, as one list.

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};

use super::{
    App,
    error::Error,
    error::Kind,
    gate,
    handlers::{devices, explain, health, history, plugins, registries},
};

/// The largest component, bytes.
const COMPONENT_BYTES: usize = 64 * 1024 * 1024;
/// The largest body of any other call, bytes.
const BODY_BYTES: usize = 1024 * 1024;

const REGISTRIES: &str = "/v1/projects/{p}/locations/{l}/registries";
// The last segment may end in `:verb`.
const REGISTRY: &str = "/v1/projects/{p}/locations/{l}/registries/{r}";
const DEVICES: &str = "/v1/projects/{p}/locations/{l}/registries/{r}/devices";
const DEVICE: &str = "/v1/projects/{p}/locations/{l}/registries/{r}/devices/{d}";

pub(super) fn routes(app: App) -> Router {
    let device = |rest: &str| format!("{DEVICE}/{rest}");
    let open = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready));
    let guarded = Router::new()
        .route("/metrics", get(health::metrics))
        .route(REGISTRIES, get(registries::list).post(registries::create))
        .route(
            REGISTRY,
            get(registries::get).patch(registries::patch).delete(registries::delete).post(registries::verb),
        )
        .route(DEVICES, get(devices::list).post(devices::create))
        .route(DEVICE, get(devices::get).patch(devices::patch).delete(devices::delete).post(devices::verb))
        .route(&device("configVersions"), get(devices::config_versions))
        .route(&device("states"), get(devices::states))
        .route(&device("commands"), get(devices::commands))
        .route(&device("commands/{id}"), get(devices::command).delete(devices::no_purge))
        .route(&device("twin"), get(devices::no_twin).patch(devices::no_twin))
        .route(&device("config"), get(devices::no_bridge))
        .route("/v1/plugins", get(plugins::list))
        .route(
            "/v1/plugins/{name}",
            get(plugins::get)
                .put(plugins::put)
                .layer(DefaultBodyLimit::max(COMPONENT_BYTES))
                .patch(plugins::patch)
                .delete(plugins::delete)
                .post(plugins::verb),
        )
        .route("/v1/events", get(history::events))
        .route("/v1/events:follow", get(history::no_follow))
        .route("/v1/executions", get(history::executions))
        .route("/v1/deadLetters", get(history::dead_letters))
        .route("/v1/deadLetters/{id}", get(history::dead_letter).post(history::redrive))
        .route("/v1/explain/{*id}", get(explain::explain))
        .layer(middleware::from_fn_with_state(app.clone(), gate::check));
    open.merge(guarded)
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(app)
}

async fn nothing(uri: axum::http::Uri) -> Error {
    Error::new(Kind::NotFound, format!("this API has no {}", uri.path()))
}

async fn not_so(method: axum::http::Method, uri: axum::http::Uri) -> Error {
    Error::new(Kind::Unimplemented, format!("{} cannot be done with {method}", uri.path()))
}
