//! The registry: single devices, and the list of devices.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::{App, Caller},
    body::Body,
    error::{Code, ServiceError},
    etag::{self, IfMatch},
    identity::{self, IdentityIn},
    tags,
    twin_in::TwinIn,
};
use switchbox_core::registry::{self, Device, Registered, Registration};
use switchbox_model::{limits::CHANGE_ATTEMPTS, patch::FirstConfig};

/// Devices in one list at most.
const MAX_LISTED: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(crate) struct TopParameter {
    top: Option<usize>,
}

/// The identity, with its ETag.
fn answer(app: &App, device: &Device) -> Response {
    let registered = device.registered();
    let mut response = Json(identity::to_json(app, device, &registered)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", etag::of_identity(&registered))) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    top: Result<Query<TopParameter>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ServiceError> {
    let Query(TopParameter { top }) = top.map_err(|error| ServiceError::invalid(error.body_text()))?;
    let _place = app.queries.acquire().await;
    let limit = top.filter(|top| (1..=MAX_LISTED).contains(top)).unwrap_or(MAX_LISTED);
    let devices = app.handles.registry.list(&caller.registry, None, limit, &|_| true).unwrap_or_default();
    let shown = devices.iter().map(|device| identity::to_json(&app, device, &device.registered()));
    Ok(Json(shown.collect()))
}

pub(crate) async fn get(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ServiceError> {
    Ok(answer(&app, app.find(&caller, &id)?.as_ref()))
}

/// Creates a device without If-Match, and changes one with it.
pub(crate) async fn put(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    if_match: IfMatch,
    Body(requested): Body<IdentityIn>,
) -> Result<Response, ServiceError> {
    if requested.device_id.as_ref().is_some_and(|named| *named != id) {
        return Err(ServiceError::invalid("deviceId in the body differs from the id in the path"));
    }
    let device = match if_match {
        IfMatch::Absent => create(&app, &caller, &id, &requested, &TwinIn::default()).await?,
        _ => {
            let device = app.find(&caller, &id)?;
            update(&app, &device, &if_match, &requested).await?;
            device
        }
    };
    Ok(answer(&app, &device))
}

/// Registers a device with the tags and the desired properties of its twin, in one entry.
pub(super) async fn create(
    app: &App,
    caller: &Caller,
    id: &str,
    requested: &IdentityIn,
    twin: &TwinIn,
) -> Result<Arc<Device>, ServiceError> {
    requested.check()?;
    let mut spec = requested.spec()?;
    spec.metadata.extend(twin.first_tags()?.map(|text| (tags::KEY.to_owned(), text)));
    let config = twin.first_config()?.map(|payload| FirstConfig { payload, cause: caller.cause() });
    let with = Registration { spec, config, ..Registration::default() };
    Ok(app.handles.registry.create(app.name(caller, id)?, with).await?)
}

/// The change is computed from the device as it is, such as the key that the caller left out, and is made to no other.
pub(super) async fn update(
    app: &App,
    device: &Device,
    if_match: &IfMatch,
    requested: &IdentityIn,
) -> Result<(), ServiceError> {
    requested.check()?;
    for _ in 0..CHANGE_ATTEMPTS {
        let registered = device.registered();
        check(if_match, &registered)?;
        let patch = requested.patch(&registered.spec)?;
        match app.handles.registry.patch(device, patch, Some(registered.revision)).await {
            // Another call changed the device meanwhile. Each time at least one of them is done.
            Err(registry::Error::OtherRevision { .. }) if !if_match.is_tag() => {}
            done => return Ok(done?),
        }
    }
    Err(ServiceError::outrun("the device"))
}

fn check(if_match: &IfMatch, registered: &Registered) -> Result<(), ServiceError> {
    match if_match.allows(&etag::of_identity(registered)) {
        true => Ok(()),
        false => Err(ServiceError::precondition("the device")),
    }
}

pub(crate) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    if_match: IfMatch,
) -> Result<StatusCode, ServiceError> {
    let device = app.find(&caller, &id)?;
    remove(&app, &device, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a device. Its waiting messages end in the same entry.
pub(super) async fn remove(app: &App, device: &Arc<Device>, if_match: &IfMatch) -> Result<(), ServiceError> {
    let registered = device.registered();
    check(if_match, &registered)?;
    let revision = if_match.is_tag().then_some(registered.revision);
    match app.handles.delivery.delete(device, revision).await {
        Err(registry::Error::HasBound(what)) => {
            let text = format!("{what} is a gateway with devices bound to it; unbind them first");
            Err(ServiceError::new(Code::ArgumentInvalid, text))
        }
        deleted => Ok(deleted?),
    }
}

/// Cancels the commands that wait for the device.
pub(crate) async fn purge(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ServiceError> {
    let device = app.find(&caller, &id)?;
    let purged = app.handles.delivery.purge(&device).await?;
    Ok(Json(json!({ "totalMessagesPurged": purged, "deviceId": id, "moduleId": null })))
}
