//! `/healthz`, `/readyz` and `/metrics`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};

use crate::{app::App, blocking::blocking};
use switchbox_admin_api::Listeners;
use switchbox_support::exposition::Exposition;

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Ready = listeners are open, the plugins of the folder have been loaded once, every task that must live does, and the audit
/// log can be written.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, String) {
    let no = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    let failed = app.handles.tasks.failed();
    if !failed.is_empty() {
        let lines =
            failed.iter().map(|(task, how)| format!("not ready: the task \"{task}\" {how}; restart the host\n"));
        return (StatusCode::SERVICE_UNAVAILABLE, lines.collect());
    }
    if !app.is_ready() {
        return no("not ready\n");
    }
    if !app.audit.is_writable() {
        // Reserves a line as a check, because there may be no writing calls.
        let log = app.audit.clone();
        if blocking(move || Ok(log.reserve().map(drop)?)).await.is_err() {
            return no("not ready: the audit log cannot be written\n");
        }
    }
    (StatusCode::OK, "ready\n".into())
}

/// The addresses that clients can connect to.
pub(crate) async fn listeners(State(app): State<App>) -> Json<Listeners> {
    Json(app.handles.listeners.clone())
}

/// In OpenMetrics' format for a scraper that names it, otherwise in the older text format.
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Exposition::of_accept(accept);
    let vary = (header::VARY, "Accept");
    ([(header::CONTENT_TYPE, format.content_type()), vary], (app.handles.metrics)(format))
}
