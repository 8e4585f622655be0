//! Is it alive, is it ready, what has it counted.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use crate::admin::{App, Reach};

pub(in crate::admin) async fn alive() -> &'static str {
    "ok\n"
}

/// Ready = listeners are open and the plugins of the folder have been loaded once.
pub(in crate::admin) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

/// Where to connect to.
pub(in crate::admin) async fn listeners(State(app): State<App>) -> Json<Reach> {
    Json(app.parts.reach)
}

pub(in crate::admin) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (app.parts.metrics)())
}
