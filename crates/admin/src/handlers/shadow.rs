//! Shadows of plugins: candidates that handle a plugin's events without carrying out their effects. The dispatcher runs them.

use axum::{
    Json,
    extract::{Path, State},
};

use super::{dry_run::refused, of_plugin};
use crate::{
    app::App,
    convert::Params,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{PluginShadow, ShadowPluginRequest};
use switchbox_model::PluginName;

pub(crate) async fn begin(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(request): Body<ShadowPluginRequest>,
) -> ApiResult<PluginShadow> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    app.handles.plugins.shadow(&name, request).await.map(Json).map_err(refused)
}

pub(crate) async fn status(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<PluginShadow> {
    params.only(&[])?;
    of_plugin(&name, "shadow", |name| app.handles.plugins.shadow_status(name)).map(Json)
}

pub(crate) async fn stop(State(app): State<App>, Path(name): Path<String>, params: Params) -> ApiResult<PluginShadow> {
    params.only(&[])?;
    of_plugin(&name, "shadow", |name| app.handles.plugins.stop_shadow(name)).map(Json)
}
