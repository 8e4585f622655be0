//! Canaries of plugins: candidates that act for some devices. Promoting one writes its files into the watched folder.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::{dry_run::refused, of_plugin, plugins::written};
use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    folder::Restored,
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
    app.handles.plugins.canary(&name, request).await.map(Json).map_err(refused)
}

pub(crate) async fn status(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<PluginCanary> {
    params.only(&[])?;
    let last = app.handles.plugins.canaries(&PluginName::new(&name)?).await.into_iter().next();
    of_plugin(&name, "canary", |_| last).map(Json)
}

pub(crate) async fn abort(State(app): State<App>, Path(name): Path<String>, params: Params) -> ApiResult<PluginCanary> {
    params.only(&[])?;
    of_plugin(&name, "canary", |name| app.handles.plugins.abort_canary(name)).map(Json)
}

pub(crate) async fn promote(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    let (component, settings) = of_plugin(&name, "canary", |name| app.handles.plugins.canary_files(name))?;
    let (folder, name) = (app.folder.by(&caller), PluginName::new(&name)?);
    let file = blocking({
        let name = name.clone();
        move || match (component, settings) {
            (Some(component), None) => folder.put_component(&name, &component),
            (component, settings) => {
                let component = component.map(|bytes| Restored::Component(bytes.to_vec()));
                folder.put_version(&name, component.as_ref(), &settings.unwrap_or_default())
            }
        }
    })
    .await?;
    Ok(Json(written(&name, &file)))
}
