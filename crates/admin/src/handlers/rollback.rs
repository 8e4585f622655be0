//! The versions of a plugin, and rollback: the host writes the files of a stored version into the watched folder.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};

use super::plugins::written;
use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    error::{Error, Kind},
    folder::Restored,
    gate::AdminPrincipal,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{ListPluginVersionsResponse, Plugin, PluginFile, PluginVersion, RollbackRequest};
use switchbox_model::PluginName;

pub(crate) async fn versions(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<ListPluginVersionsResponse> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let versions = app.handles.plugins.versions(&name).await;
    if versions.is_empty() && app.handles.plugins.get(&name).await.is_none() {
        return Err(Error::not_found(format!("plugin {name}")));
    }
    Ok(Json(ListPluginVersionsResponse { versions }))
}

pub(crate) async fn component(
    State(app): State<App>,
    Path((name, number)): Path<(String, String)>,
    params: Params,
) -> Result<Response, Error> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let versions = app.handles.plugins.versions(&name).await;
    let version = find(&versions, &number).ok_or_else(|| Error::not_found(format!("version {number} of {name}")))?;
    let bytes = kept(&app, &name, version).await?;
    Ok(([(header::CONTENT_TYPE, "application/wasm")], bytes).into_response())
}

pub(crate) async fn rollback(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(who)): Extension<AdminPrincipal>,
    params: Params,
    Body(request): Body<RollbackRequest>,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let view = app.handles.plugins.get(&name).await.ok_or_else(|| Error::not_found(format!("plugin {name}")))?;
    let versions = app.handles.plugins.versions(&name).await;
    let to = match &request.to {
        Some(to) => find(&versions, to).ok_or_else(|| Error::not_found(format!("version {to} of {name}")))?,
        None => {
            let before = versions.iter().find(|version| !version.in_force);
            before.ok_or_else(|| refused(format!("no other version of {name} has run before on this host")))?
        }
    };
    if to.in_force {
        return Err(refused(format!("version {} of {name} is in force already", to.number)));
    }
    app.handles.plugins.check_rollback(&name, to).map_err(|why| {
        refused(format!("version {} of {name} keeps its state in schema {}: {why}", to.number, to.state_schema))
    })?;
    let component = component_for(&app, &name, &view, to).await?;
    let file = blocking({
        let (folder, name, settings) = (app.folder.by(&who), name.clone(), to.settings.clone());
        move || folder.put_version(&name, component.as_ref(), &settings)
    })
    .await?;
    Ok(Json(PluginFile { version: Some(to.number), ..written(&name, &file) }))
}

/// The component that has to be written for this version. Returns `None` if the existing one stays.
async fn component_for(
    app: &App,
    name: &PluginName,
    view: &Plugin,
    to: &PluginVersion,
) -> Result<Option<Restored>, Error> {
    if to.digest == view.digest && to.component == file_name(&view.component) {
        return Ok(None);
    }
    if to.component == format!("{name}.wasm") {
        return kept(app, name, to).await.map(Restored::Component).map(Some);
    }
    if to.component == format!("{name}.js") {
        let script = app.handles.plugins.version_script(name, to.number).await;
        let script = script.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        return match script {
            Some(text) => Ok(Some(Restored::Script(text))),
            None => Err(refused(format!("the rule of version {} of {name} is not kept any more", to.number))),
        };
    }
    // The settings name a built-in, which is what this version of the host has.
    if to.component.starts_with("builtin:") {
        return Ok(None);
    }
    // Another file may also be the component of other plugins.
    Err(refused(format!(
        "the component of version {} is {} as it was then; only one of the plugin's own, {name}.wasm or {name}.js, can be brought back",
        to.number, to.component
    )))
}

async fn kept(app: &App, name: &PluginName, version: &PluginVersion) -> Result<Vec<u8>, Error> {
    let bytes = app.handles.plugins.version_component(name, version.number).await;
    let bytes = bytes.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    bytes.ok_or_else(|| refused(format!("the component of version {} of {name} is not kept any more", version.number)))
}

fn find<'a>(versions: &'a [PluginVersion], to: &str) -> Option<&'a PluginVersion> {
    if let Ok(number) = to.parse::<u64>() {
        return versions.iter().find(|version| version.number == number);
    }
    let hex = to.strip_prefix("sha256:").unwrap_or(to);
    let named = |version: &&PluginVersion| version.digest.trim_start_matches("sha256:").starts_with(hex);
    if hex.len() < DIGEST_SIGNS { None } else { versions.iter().find(named) }
}

/// The shortest prefix of a digest that names a version.
const DIGEST_SIGNS: usize = 6;

fn file_name(component: &str) -> &str {
    component.rsplit('/').next().unwrap_or(component)
}

fn refused(text: String) -> Error {
    Error::new(Kind::FailedPrecondition, text)
}
