//! Canaries of plugins: candidates that act for some devices. To put one in force its files are written into the watched folder.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::dry_run::refused;
use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    error::Error,
    gate::AdminPrincipal,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{CanaryPluginRequest, PluginCanary, PluginFile};
use switchbox_model::PluginName;

pub(crate) async fn begin(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(request): Body<CanaryPluginRequest>,
) -> ApiResult<PluginCanary> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    app.parts.plugins.canary(&name, request).await.map(Json).map_err(refused)
}

pub(crate) async fn status(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<PluginCanary> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    app.parts.plugins.canary_status(&name).map(Json).ok_or_else(|| none(&name))
}

pub(crate) async fn abort(State(app): State<App>, Path(name): Path<String>, params: Params) -> ApiResult<PluginCanary> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    app.parts.plugins.abort_canary(&name).map(Json).ok_or_else(|| none(&name))
}

pub(crate) async fn promote(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(who)): Extension<AdminPrincipal>,
    params: Params,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let (component, settings) = app.parts.plugins.canary_files(&name).ok_or_else(|| none(&name))?;
    let (folder, shown) = (app.folder.by(&who), name.to_string());
    let file = blocking(move || match (component, settings) {
        (Some(component), None) => folder.put_component(&name, &component),
        (component, settings) => folder.put_version(&name, component.as_deref(), &settings.unwrap_or_default()),
    })
    .await?;
    Ok(Json(PluginFile { name: shown, file: Some(file.display().to_string()), ..PluginFile::default() }))
}

fn none(name: &PluginName) -> Error {
    Error::not_found(format!("canary of plugin {name}"))
}
