//! The bindings of devices to gateways.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};

use super::{RegistryPath, lookup, registry_name};
use crate::{
    app::App,
    convert::Params,
    error::Error,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{BindDeviceToGatewayRequest, Empty};
use switchbox_core::registry::Device;
use switchbox_model::{DeviceNum, RegistryName};

const GATEWAY_ID: &str = "gatewayListOptions.associationsGatewayId";
const DEVICE_ID: &str = "gatewayListOptions.associationsDeviceId";

fn both(
    app: &App,
    (p, l, r): &(String, String, String),
    request: &BindDeviceToGatewayRequest,
) -> Result<(Arc<Device>, Arc<Device>), Error> {
    let registry = registry_name(p, l, r)?;
    let find = |id: &str| lookup::find(app, registry.clone(), id);
    Ok((find(&request.gateway_id)?, find(&request.device_id)?))
}

pub(crate) async fn bind(
    State(app): State<App>,
    Path(path): RegistryPath,
    params: Params,
    Body(request): Body<BindDeviceToGatewayRequest>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let (gateway, device) = both(&app, &path, &request)?;
    app.handles.registry.bind(&gateway, &device).await?;
    Ok(Json(Empty {}))
}

pub(crate) async fn unbind(
    State(app): State<App>,
    Path(path): RegistryPath,
    params: Params,
    Body(request): Body<BindDeviceToGatewayRequest>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let (gateway, device) = both(&app, &path, &request)?;
    app.handles.registry.unbind(&gateway, &device).await?;
    Ok(Json(Empty {}))
}

/// The filter of a list: the devices of a gateway, or the gateways of a device. Returns `None` if
/// all devices are listed.
pub(super) fn associated(app: &App, registry: &RegistryName, params: &Params) -> Result<Option<Vec<DeviceNum>>, Error> {
    let find = |id: &str| lookup::find(app, registry.clone(), id);
    let nums = match (params.one(GATEWAY_ID), params.one(DEVICE_ID)) {
        (None, None) => return Ok(None),
        (Some(gateway), None) => app.handles.registry.devices_of(find(gateway)?.num),
        (None, Some(device)) => app.handles.registry.gateways_of(find(device)?.num),
        (Some(_), Some(_)) => return Err(Error::invalid(format!("give {GATEWAY_ID} or {DEVICE_ID}, not both"))),
    };
    Ok(Some(nums.into_iter().collect()))
}
