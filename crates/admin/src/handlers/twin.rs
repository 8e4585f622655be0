//! The twin of a device: config and state read together, desired changed by a merge patch.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::{DevicePath, lookup::found};
use crate::{
    app::App,
    convert::{self, Params},
    error::Error,
    gate::AdminPrincipal,
    reply::{ApiResult, Raw},
};
use switchbox_admin_api::Twin;
use switchbox_core::{
    registry::Device,
    twin::{self, Tolerance},
};
use switchbox_model::{
    Cause,
    limits::{VERSIONS_KEPT, names},
};

pub(crate) async fn get(State(app): State<App>, Path(path): DevicePath, params: Params) -> ApiResult<Twin> {
    params.only(&["tolerance"])?;
    let tolerance = params.one("tolerance").map(str::parse).transpose();
    let tolerance = tolerance.map_err(|error: twin::InvalidTolerance| Error::invalid(format!("tolerance: {error}")))?;
    shown(&app, found(&app, &path)?.as_ref(), tolerance).await
}

/// The body is a JSON merge patch of desired. `versionToUpdate` as for a config: 0 or absent = any.
pub(crate) async fn patch(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
    Extension(caller): Extension<AdminPrincipal>,
    Raw(body): Raw,
) -> ApiResult<Twin> {
    params.only(&["versionToUpdate"])?;
    let expected = match params.one("versionToUpdate").map(str::parse::<u64>) {
        None => None,
        Some(Ok(version)) => Some(version).filter(|version| *version > 0),
        Some(Err(_)) => return Err(Error::invalid("versionToUpdate must be the number of a config version")),
    };
    // Applies the patch to an empty document first, so that a bad patch gets another error than a result that is too large.
    twin::patched(b"{}", &body).map_err(|problem| Error::invalid(problem.to_string()))?;
    let device = found(&app, &path)?;
    app.handles.outbox.patch_desired(&device, body, expected, Cause::Api { caller: caller.0 }).await?;
    shown(&app, &device, None).await
}

/// The tolerance of the comparison: this one, or the device's own.
async fn shown(app: &App, device: &Device, tolerance: Option<Tolerance>) -> ApiResult<Twin> {
    let (configs, states) = app.handles.store.configs_and_states(device.num, VERSIONS_KEPT).await?;
    // An invalid one was stored before tolerances were checked.
    let own = || twin::tolerance(&device.spec().metadata).unwrap_or(Tolerance::EXACT);
    let twin = twin::document(&configs, &states, tolerance.unwrap_or_else(own));
    if twin.left_out > 0 {
        app.handles.counters.limit(names::TWIN_DIFFERENCES);
    }
    Ok(Json(convert::twin(twin)))
}
