//! Devices, and what is sent to them.

pub(crate) mod commands;
pub(crate) mod credentials;
pub(crate) mod send;

use std::{collections::HashSet, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::{DevicePath, RegistryPath, gateways, log_warnings, lookup::found, registry_name};
use crate::{
    app::App,
    convert::{self, DeviceFilter, Params, bad_token},
    details,
    error::Error,
    etag::{IfMatch, Tagged, tagged},
    gate::AdminPrincipal,
    reply::{ApiResult, Body, Items, Written},
};
use switchbox_admin_api::{
    self as api, Base64, Empty, InvokeMethodRequest, InvokeMethodResponse, ListDeviceConfigVersionsResponse,
    ListDeviceStatesResponse, ListDevicesResponse, ModifyCloudToDeviceConfigRequest, SetPasswordRequest,
};
use switchbox_core::registry::{Device, Registered, Registration};
use switchbox_model::{
    Cause, DeviceId, DeviceName,
    limits::{self, fields},
    patch::{CredentialOwner, FirstConfig},
};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 10_000;

/// The whole device, with its revision.
fn whole(app: &App, device: &Device) -> (api::Device, Registered) {
    let registered = device.registered();
    let connected = app.handles.delivery.is_connected(device.num);
    (convert::device(device, &registered, connected, gateway_of(app, device).as_ref()), registered)
}

/// The gateway that the device is attached to now.
fn gateway_of(app: &App, device: &Device) -> Option<DeviceId> {
    app.handles.delivery.is_attached(device.num).then(|| device.gateway_access())?.map(|access| access.gateway)
}

/// Shows the device to the caller that has just created or changed it, with warnings.
fn changed(app: &App, device: &Device, params: &Params) -> Tagged {
    let (mut shown, registered) = whole(app, device);
    let mut warnings = convert::key_warnings(&registered.spec.credentials);
    let endpoint = registered.endpoint.as_ref();
    if let Some(why) = endpoint.and_then(|endpoint| app.handles.delivery.endpoint_problem(&endpoint.url)) {
        warnings.push(format!("methodEndpoint.url: {why}; every method call fails until then"));
    }
    log_warnings(&device.name, &warnings);
    shown.warnings = warnings;
    tagged(params.shown(&shown), registered.revision)
}

pub(crate) async fn list(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
) -> ApiResult<ListDevicesResponse<Written>> {
    params.only(&[
        "pageSize",
        "pageToken",
        "deviceIds",
        "deviceNumIds",
        "fieldMask",
        "search",
        "connected",
        "blocked",
        "differs",
        "metadata",
        "seenSince",
        "seenBefore",
        "attachedTo",
        "gatewayListOptions.gatewayType",
        "gatewayListOptions.associationsGatewayId",
        "gatewayListOptions.associationsDeviceId",
    ])?;
    let gateways = params.one("gatewayListOptions.gatewayType").map_or(Ok(None), convert::gateway_filter)?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let after = match params.one("pageToken") {
        Some(token) => Some(DeviceId::new(token).map_err(|_| bad_token(token))?),
        None => None,
    };
    let ids: HashSet<&str> = params.all("deviceIds").into_iter().collect();
    let nums: HashSet<&str> = params.all("deviceNumIds").into_iter().collect();
    let registry = registry_name(&p, &l, &r)?;
    let associated = gateways::associated(&app, &registry, &params)?;
    let filter = DeviceFilter::read(&params)?;
    let attached_to = params.one("attachedTo").map(DeviceId::new).transpose()?;
    let keep = |device: &Device| {
        (ids.is_empty() || ids.contains(device.name.id.as_str()))
            && (nums.is_empty() || nums.contains(device.num.num_id().to_string().as_str()))
            && associated.as_ref().is_none_or(|nums| nums.binary_search(&device.num).is_ok())
            && attached_to.as_ref().is_none_or(|gateway| gateway_of(&app, device).as_ref() == Some(gateway))
            && gateways.is_none_or(|gateways| device.spec().gateway.is_some() == gateways)
            && filter.takes(device, || app.handles.delivery.is_connected(device.num))
    };
    let devices = app.handles.registry.list(&registry, after.as_ref(), limit + 1, &keep);
    let devices = devices.ok_or_else(|| Error::not_found(format!("registry {registry}")))?;
    let mask = convert::list_mask(params.mask("fieldMask"));
    let mut list = Items::default();
    let show = |device: &&Arc<Device>| mask.cut(&params.shown(&whole(&app, device).0));
    let shown = devices.iter().take(limit).take_while(|device| list.push(&show(device))).last();
    let more = shown.is_some_and(|shown| devices.last().is_some_and(|last| last.num != shown.num));
    let next_page_token = shown.filter(|_| more).map(|last| last.name.id.to_string());
    Ok(Json(ListDevicesResponse { devices: list.page(&app.handles.counters), next_page_token }))
}

pub(crate) async fn create(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
    Extension(caller): Extension<AdminPrincipal>,
    Body(request): Body<api::Device>,
) -> Tagged {
    params.only(&[])?;
    let id = request.id.as_deref().ok_or_else(|| Error::invalid("id is missing"))?;
    let name = DeviceName { registry: registry_name(&p, &l, &r)?, id: DeviceId::new(id)? };
    let first = request.config.as_ref().and_then(|config| config.binary_data.clone());
    fields::CONFIG.check_len("config.binaryData", first.as_ref().map_or(0, |first| first.0.len()))?;
    let cause = Cause::Api { caller: caller.0 };
    let config = first.map(|Base64(payload)| FirstConfig { payload, cause });
    details::object(&name);
    let with = Registration { endpoint: convert::endpoint(&request)?, config, spec: convert::device_spec(request)? };
    let device = app.handles.registry.create(name, with).await?;
    changed(&app, &device, &params)
}

pub(crate) async fn get(State(app): State<App>, Path(path): DevicePath, params: Params) -> Tagged {
    params.only(&["fieldMask"])?;
    let (device, registered) = whole(&app, found(&app, &path)?.as_ref());
    let device = params.shown(&device);
    let shown = params.mask("fieldMask").map_or_else(|| device.clone(), |mask| mask.cut(&device));
    tagged(shown, registered.revision)
}

pub(crate) async fn patch(
    State(app): State<App>,
    Path(path): DevicePath,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<api::Device>,
) -> Tagged {
    params.only(&["updateMask"])?;
    let mask = params.update_mask("blocked,metadata")?;
    let device = found(&app, &path)?;
    app.handles.registry.patch(&device, convert::device_patch(request, &mask)?, revision).await?;
    changed(&app, &device, &params)
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path(path): DevicePath,
    IfMatch(revision): IfMatch,
    params: Params,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let device = found(&app, &path)?;
    app.handles.delivery.delete(&device, revision).await?;
    Ok(Json(Empty {}))
}

pub(crate) async fn add_credential(
    State(app): State<App>,
    Path(path): DevicePath,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<api::DeviceCredential>,
) -> Tagged {
    params.only(&[])?;
    let (device, credential) = (found(&app, &path)?, convert::credential(request)?);
    app.handles.registry.add_credential(CredentialOwner::Device(device.num), credential, revision).await?;
    changed(&app, &device, &params)
}

pub(crate) async fn remove_credential(
    State(app): State<App>,
    Path(path): DevicePath,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<api::DeviceCredential>,
) -> Tagged {
    params.only(&[])?;
    let device = found(&app, &path)?;
    app.handles
        .registry
        .remove_credential(CredentialOwner::Device(device.num), request.public_key.key, revision)
        .await?;
    changed(&app, &device, &params)
}

pub(crate) async fn set_config(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
    Extension(caller): Extension<AdminPrincipal>,
    Body(request): Body<ModifyCloudToDeviceConfigRequest>,
) -> ApiResult<api::DeviceConfig> {
    params.only(&[])?;
    send::config(&app, found(&app, &path)?.as_ref(), caller, request).await
}

pub(crate) async fn invoke_method(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
    Extension(caller): Extension<AdminPrincipal>,
    Body(request): Body<InvokeMethodRequest>,
) -> ApiResult<InvokeMethodResponse> {
    params.only(&[])?;
    send::method(&app, found(&app, &path)?.as_ref(), caller, request).await
}

pub(crate) async fn set_password(
    State(app): State<App>,
    Path(path): DevicePath,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<SetPasswordRequest>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let device = found(&app, &path)?;
    app.handles.registry.set_password(&device, credentials::hash(request).await?, revision).await?;
    Ok(Json(Empty {}))
}

pub(crate) async fn config_versions(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
) -> ApiResult<ListDeviceConfigVersionsResponse> {
    params.only(&["numVersions"])?;
    let limit = params.number("numVersions", limits::VERSIONS_KEPT, limits::VERSIONS_KEPT)?;
    let versions = app.handles.store.configs(found(&app, &path)?.num, limit).await?;
    Ok(Json(ListDeviceConfigVersionsResponse { device_configs: versions.iter().map(convert::config).collect() }))
}

pub(crate) async fn states(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
) -> ApiResult<ListDeviceStatesResponse<Written>> {
    params.only(&["numStates"])?;
    let limit = params.number("numStates", limits::VERSIONS_KEPT, limits::VERSIONS_KEPT)?;
    let versions = app.handles.store.states(found(&app, &path)?.num, limit).await?;
    // Ten of the largest states that settings allow are more than a page; the oldest are left out.
    let mut list = Items::default();
    let _shown = versions.iter().take_while(|version| list.push(&convert::state(version))).count();
    Ok(Json(ListDeviceStatesResponse { device_states: list.page(&app.handles.counters) }))
}
