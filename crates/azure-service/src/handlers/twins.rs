//! Twins: reading, patching and replacing. A change of tags and of desired is one entry of the journal: both are changed, or neither.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};

use crate::{
    app::{App, Caller},
    body::Body,
    error::ServiceError,
    etag::{self, IfMatch},
    twin,
    twin_in::TwinIn,
};
use switchbox_core::registry::{Device, Registered};
use switchbox_model::twin_change::TwinChange;

async fn answer(app: &App, device: &Device) -> Result<Response, ServiceError> {
    let twin = twin::full(app, device).await?;
    let tag = format!("\"{}\"", twin.etag());
    let mut response = Json(twin).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

pub(crate) async fn get(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ServiceError> {
    answer(&app, app.find(&caller, &id)?.as_ref()).await
}

pub(crate) async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    if_match: IfMatch,
    Body(requested): Body<TwinIn>,
) -> Result<Response, ServiceError> {
    let device = app.find(&caller, &id)?;
    patch(&app, &caller, &device, &if_match, &requested).await?;
    answer(&app, &device).await
}

pub(crate) async fn replace(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    if_match: IfMatch,
    Body(requested): Body<TwinIn>,
) -> Result<Response, ServiceError> {
    let device = app.find(&caller, &id)?;
    let change = requested.replaced(&device, caller.cause())?;
    apply(&app, &device, &if_match, Some(change)).await?;
    answer(&app, &device).await
}

/// Applies a merge patch to the tags and to desired.
pub(super) async fn patch(
    app: &App,
    caller: &Caller,
    device: &Device,
    if_match: &IfMatch,
    requested: &TwinIn,
) -> Result<(), ServiceError> {
    apply(app, device, if_match, requested.merged(device, caller.cause())?).await
}

/// Refuses a change of another twin than the caller has seen.
pub(super) fn check(if_match: &IfMatch, registered: &Registered, version: u64) -> Result<(), ServiceError> {
    match if_match.allows(&etag::of_twin(registered, version)) {
        true => Ok(()),
        false => Err(ServiceError::precondition("the twin")),
    }
}

/// What If-Match requires is compared again where the entry is applied.
async fn apply(app: &App, device: &Device, if_match: &IfMatch, change: Option<TwinChange>) -> Result<(), ServiceError> {
    let (registered, version) = (device.registered(), device.config_version());
    check(if_match, &registered, version)?;
    let Some(change) = change else { return Ok(()) };
    let (revision, expected) = match if_match.is_tag() {
        true => (Some(registered.revision), Some(version)),
        false => (None, None),
    };
    let change = TwinChange { expected, ..change };
    Ok(app.handles.outbox.change_twin(&app.handles.registry, device, change, revision).await?)
}
