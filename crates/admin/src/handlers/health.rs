//! Is it alive, is it ready, what has it counted.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use crate::{app::App, blocking::blocking};
use switchbox_admin_api::Listeners;

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Ready = listeners are open, the plugins of the folder have been loaded once, every task that must live does, and the audit
/// log can be written.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, String) {
    let no = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    let failed = app.parts.tasks.failed();
    if !failed.is_empty() {
        let lines =
            failed.iter().map(|(task, how)| format!("not ready: the task \"{task}\" {how}; restart the host\n"));
        return (StatusCode::SERVICE_UNAVAILABLE, lines.collect());
    }
    if !app.is_ready() {
        return no("not ready\n");
    }
    if !app.audit.works() {
        // Nobody may try a write meanwhile.
        let log = app.audit.clone();
        if blocking(move || Ok(log.reserve().map(drop)?)).await.is_err() {
            return no("not ready: the audit log cannot be written\n");
        }
    }
    (StatusCode::OK, "ready\n".into())
}

/// Where to connect to.
pub(crate) async fn listeners(State(app): State<App>) -> Json<Listeners> {
    Json(app.parts.reach)
}

pub(crate) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (app.parts.metrics)())
}
