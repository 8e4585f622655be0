//! Twins: reading, patching and replacing. Tags are changed in the registry, desired in the config: these are two entries, each
//! with its own condition.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    app::{App, Caller},
    body::Body,
    error::ServiceError,
    etag::{self, IfMatch},
    tags, twin,
};
use switchbox_core::{
    outbox::NewConfig,
    registry::{self, Device},
};
use switchbox_model::{patch::DevicePatch, registry::DeviceSpec};

/// How often tags are computed again after a concurrent change of the device.
const MAX_ATTEMPTS: usize = 8;

/// What a caller may change. Reported and the fields that the host sets are accepted and ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TwinIn {
    pub(crate) tags: Option<Map<String, Value>>,
    pub(crate) properties: Option<PropertiesIn>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PropertiesIn {
    pub(crate) desired: Option<Map<String, Value>>,
}

impl TwinIn {
    /// Desired without `$metadata` and `$version`.
    fn desired(&self) -> Result<Option<Map<String, Value>>, ServiceError> {
        let Some(desired) = self.properties.as_ref().and_then(|properties| properties.desired.as_ref()) else {
            return Ok(None);
        };
        let mut desired = desired.clone();
        ["$metadata", "$version"].into_iter().for_each(|name| drop(desired.remove(name)));
        match desired.keys().find(|name| name.starts_with('$')) {
            Some(name) => {
                Err(ServiceError::invalid(format!("properties.desired: a name cannot begin with $: {name:?}")))
            }
            None => Ok(Some(desired)),
        }
    }
}

async fn answer(app: &App, device: &Device) -> Result<Response, ServiceError> {
    let twin = twin::full(app, device).await?;
    let tag = format!("\"{}\"", twin.get("etag").and_then(Value::as_str).unwrap_or_default());
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
    let (desired, new_tags) = (requested.desired()?.unwrap_or_default(), requested.tags.unwrap_or_default());
    let expected = expected(&device, &if_match)?;
    set_tags(&app, &device, &if_match, &|spec| Ok(tags::replaced(spec, &new_tags))).await?;
    let payload = Bytes::from(Value::Object(desired).to_string());
    let config = NewConfig { payload, expected, force: false };
    app.handles.outbox.set_config(&device, config, caller.cause()).await?;
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
    let desired = requested.desired()?;
    let expected = expected(device, if_match)?;
    if let Some(patch) = &requested.tags {
        let patch = Value::Object(patch.clone());
        set_tags(app, device, if_match, &|spec| tags::patched(spec, &patch)).await?;
    }
    if let Some(desired) = desired.filter(|desired| !desired.is_empty()) {
        let patch = Bytes::from(Value::Object(desired).to_string());
        app.handles.outbox.patch_desired(device, patch, expected, caller.cause()).await?;
    }
    Ok(())
}

/// The version of desired that If-Match requires.
fn expected(device: &Device, if_match: &IfMatch) -> Result<Option<u64>, ServiceError> {
    let version = device.config_version();
    if !if_match.allows(&etag::of_twin(device, &device.registered())) {
        return Err(ServiceError::precondition("the twin"));
    }
    Ok(if_match.is_tag().then_some(version))
}

type Change<'a> = &'a (dyn Fn(&DeviceSpec) -> Result<Option<DevicePatch>, ServiceError> + Sync);

async fn set_tags(app: &App, device: &Device, if_match: &IfMatch, change: Change<'_>) -> Result<(), ServiceError> {
    for _ in 0..MAX_ATTEMPTS {
        let registered = device.registered();
        let Some(patch) = change(&registered.spec)? else { return Ok(()) };
        match app.handles.registry.patch(device, patch, Some(registered.revision)).await {
            // A concurrent call changed the device: the patch is computed again.
            Err(registry::Error::OtherRevision { .. }) if !if_match.is_tag() => {}
            done => return Ok(done?),
        }
    }
    Err(ServiceError::precondition("the twin's tags"))
}
