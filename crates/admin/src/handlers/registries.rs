//! Registries.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, State},
};

use super::{RegistryPath, log_warnings, registry_name};
use crate::{
    app::App,
    convert::{self, Params, bad_token},
    error::Error,
    etag::{IfMatch, Tagged, tagged},
    reply::{ApiResult, Body, Items, Written},
};
use switchbox_admin_api::{
    DeviceRegistry, Empty, ListDeviceRegistriesResponse, PruneDevicesRequest, PruneDevicesResponse, RegistryCredential,
};
use switchbox_model::{DeviceId, RegistryName};
use switchbox_store::{CommandFilter, RegistryDoc};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 10_000;
/// Maximum number of pruned devices that the answer names.
const PRUNED_SHOWN: usize = 1_000;

fn find(app: &App, name: &RegistryName) -> Result<RegistryDoc, Error> {
    app.handles.registry.registry(name).ok_or_else(|| Error::not_found(format!("registry {name}")))
}

/// Shows the registry to the caller that has just created or changed it, with warnings.
fn changed(app: &App, name: &RegistryName, params: &Params) -> Tagged {
    let registry = find(app, name)?;
    let warnings = convert::authority_warnings(&registry.spec.authorities);
    log_warnings(name, &warnings);
    let shown = DeviceRegistry { warnings, ..convert::registry(&registry) };
    tagged(params.shown(&shown), registry.revision)
}

pub(crate) async fn list(
    State(app): State<App>,
    Path((p, l)): Path<(String, String)>,
    params: Params,
) -> ApiResult<ListDeviceRegistriesResponse<Written>> {
    params.only(&["pageSize", "pageToken"])?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let after = match params.one("pageToken") {
        Some(token) => Some(RegistryName::of(&p, &l, token).map_err(|_| bad_token(token))?),
        None => None,
    };
    let all = app.handles.registry.registries();
    let mut found = all.into_iter().filter(|RegistryDoc { name, .. }| {
        name.project() == p && name.location() == l && after.as_ref().is_none_or(|after| name > after)
    });
    let (mut list, mut last) = (Items::default(), None);
    let more = loop {
        let Some(registry) = found.next() else { break false };
        if list.len() == limit || !list.push(&params.shown(&convert::registry(&registry))) {
            break true;
        }
        last = Some(registry.name.id().to_owned());
    };
    let device_registries = list.page(&app.handles.counters);
    Ok(Json(ListDeviceRegistriesResponse { device_registries, next_page_token: last.filter(|_| more) }))
}

pub(crate) async fn create(
    State(app): State<App>,
    Path((p, l)): Path<(String, String)>,
    params: Params,
    Body(request): Body<DeviceRegistry>,
) -> Tagged {
    params.only(&[])?;
    let id = request.id.as_deref().ok_or_else(|| Error::invalid("id is missing").of_field("id"))?;
    let name = registry_name(&p, &l, id)?;
    app.handles.registry.create_registry(name.clone(), convert::registry_spec(request)?).await?;
    changed(&app, &name, &params)
}

pub(crate) async fn get(State(app): State<App>, Path((p, l, r)): RegistryPath, params: Params) -> Tagged {
    params.only(&[])?;
    let registry = find(&app, &registry_name(&p, &l, &r)?)?;
    tagged(params.shown(&convert::registry(&registry)), registry.revision)
}

pub(crate) async fn patch(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<DeviceRegistry>,
) -> Tagged {
    params.only(&["updateMask"])?;
    let mask = params.update_mask("logLevel,httpConfig")?;
    let name = registry_name(&p, &l, &r)?;
    let patch = convert::registry_patch(convert::registry_spec(request)?, &mask)?;
    app.handles.registry.patch_registry(&name, patch, revision).await?;
    changed(&app, &name, &params)
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    IfMatch(revision): IfMatch,
    params: Params,
) -> ApiResult<Empty> {
    params.only(&[])?;
    app.handles.registry.delete_registry(&registry_name(&p, &l, &r)?, revision).await?;
    Ok(Json(Empty {}))
}

pub(crate) async fn add_credential(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<RegistryCredential>,
) -> Tagged {
    params.only(&[])?;
    let name = registry_name(&p, &l, &r)?;
    app.handles.registry.add_authority(&name, convert::authority(request)?, revision).await?;
    changed(&app, &name, &params)
}

pub(crate) async fn remove_credential(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<RegistryCredential>,
) -> Tagged {
    params.only(&[])?;
    let name = registry_name(&p, &l, &r)?;
    app.handles.registry.remove_authority(&name, request.public_key_certificate.certificate, revision).await?;
    changed(&app, &name, &params)
}

/// Deletes devices that enrolled by themselves and were never used. One that is connected stays, as does one with a command.
pub(crate) async fn prune(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
    Body(request): Body<PruneDevicesRequest>,
) -> ApiResult<PruneDevicesResponse> {
    params.only(&[])?;
    let name = find(&app, &registry_name(&p, &l, &r)?)?.name;
    if !request.never_used {
        return Err(Error::invalid("say which devices: neverUsed must be true").of_field("neverUsed"));
    }
    let (mut unused, mut ids) = (Vec::new(), HashMap::new());
    for device in app.handles.registry.never_used(Some(&name), usize::MAX) {
        let one = CommandFilter { before: None, status: None, limit: 1 };
        if app.handles.delivery.is_connected(device.num)
            || !app.handles.store.commands(device.num, one).await?.is_empty()
        {
            continue;
        }
        unused.push(device.num);
        ids.insert(device.num, device.name.id.clone());
    }
    // A device may have been used since; this is checked again when the entry is applied.
    let pruned = if request.dry_run || unused.is_empty() { unused } else { app.handles.registry.prune(unused).await? };
    let shown = pruned.iter().filter_map(|num| ids.get(num)).take(PRUNED_SHOWN);
    Ok(Json(PruneDevicesResponse { pruned: pruned.len(), device_ids: shown.map(DeviceId::to_string).collect() }))
}

pub(crate) async fn no_policies() -> ApiResult<Empty> {
    Err(Error::unimplemented("policies of a registry"))
}
