//! The twin of a device: config and state read together, desired changed by a merge patch.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::{DevicePath, devices::found};
use crate::{
    admin::{
        App,
        convert::Params,
        error::Error,
        gate::Who,
        reply::{Answer, Raw},
    },
    model::{Cause, limits::VERSIONS_KEPT},
    registry::Device,
    twin,
};

pub(in crate::admin) async fn get(State(app): State<App>, Path(path): DevicePath, params: Params) -> Answer {
    params.only(&[])?;
    shown(&app, found(&app, &path)?.as_ref()).await
}

/// The body is a JSON merge patch of desired. `versionToUpdate` as for a config: 0 or absent = any.
pub(in crate::admin) async fn patch(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
    Extension(who): Extension<Who>,
    Raw(body): Raw,
) -> Answer {
    params.only(&["versionToUpdate"])?;
    let expected = match params.one("versionToUpdate").map(str::parse::<u64>) {
        None => None,
        Some(Ok(version)) => Some(version).filter(|version| *version > 0),
        Some(Err(_)) => return Err(Error::invalid("versionToUpdate must be the number of a config version")),
    };
    // So that what is wrong with the patch itself is told apart from what is wrong with desired.
    twin::patched(b"{}", &body).map_err(|problem| Error::invalid(problem.to_string()))?;
    let device = found(&app, &path)?;
    app.parts.outbox.patch_desired(&device, body, expected, Cause::Api { who: who.0 }).await?;
    shown(&app, &device).await
}

async fn shown(app: &App, device: &Device) -> Answer {
    let configs = app.parts.store.configs(device.num, VERSIONS_KEPT).await?;
    let states = app.parts.store.states(device.num, VERSIONS_KEPT).await?;
    Ok(Json(twin::document(&configs, &states)))
}
