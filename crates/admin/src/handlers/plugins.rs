//! Plugins. The dispatcher is asked which of them run. Changes are written into the watched folder.

use std::{
    path::Path as FilePath,
    time::{Duration, Instant},
};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, header},
};

use crate::{
    app::App,
    blocking::blocking,
    convert::{Params, event_kind},
    edit,
    error::{Error, ErrorStatus},
    gate::AdminPrincipal,
    plugins::{DeleteError, Plugins},
    reply::{ApiResult, Body, Raw},
};
use switchbox_admin_api::{Empty, ListBuiltinsResponse, ListPluginsResponse, Plugin, PluginFile, PluginPatch};
use switchbox_model::{DeviceName, PluginName, RegistryName};
use switchbox_plugin_model::{PluginSettings, Subject};

/// The answer for a plugin, without the fields that only some calls set.
fn of(name: &PluginName) -> PluginFile {
    PluginFile { name: name.to_string(), ..PluginFile::default() }
}

/// The answer for a file that was written.
pub(super) fn written(name: &PluginName, file: &FilePath) -> PluginFile {
    PluginFile { file: Some(file.display().to_string()), ..of(name) }
}

pub(crate) async fn list(State(app): State<App>, params: Params) -> ApiResult<ListPluginsResponse> {
    params.only(SUBJECT)?;
    let named = SUBJECT.iter().any(|name| params.one(name).is_some());
    let subject = named.then(|| subject(&params)).transpose()?;
    Ok(Json(ListPluginsResponse { plugins: app.handles.plugins.list(subject).await }))
}

/// The parameters that name what plugins may match.
const SUBJECT: &[&str] = &["kind", "device", "subfolder", "topic"];

/// The device need not be registered: an event may outlive its device.
fn subject(params: &Params) -> Result<Subject, Error> {
    let home = RegistryName::default_registry();
    let device = params.one("device").map(|device| DeviceName::parse(device, &home)).transpose()?;
    Ok(Subject {
        kind: params.one("kind").map(event_kind).transpose()?,
        device,
        subfolder: params.one("subfolder").unwrap_or_default().to_owned(),
        topic: params.one("topic").map(str::to_owned),
    })
}

pub(crate) async fn builtins(State(app): State<App>, params: Params) -> ApiResult<ListBuiltinsResponse> {
    params.only(&[])?;
    Ok(Json(ListBuiltinsResponse { builtins: app.handles.plugins.builtins() }))
}

pub(crate) async fn get(State(app): State<App>, Path(name): Path<String>, params: Params) -> ApiResult<Plugin> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let plugin = app.handles.plugins.get(&name).await;
    plugin.map(Json).ok_or_else(|| Error::not_found(format!("plugin {name}")))
}

/// A component (`application/wasm`, or anything that begins like one) or a settings file (`application/toml`).
pub(crate) async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
    headers: HeaderMap,
    Raw(body): Raw,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_component = match kind.split(';').next().unwrap_or_default().trim() {
        "application/wasm" => true,
        "application/toml" | "text/plain" | "text/toml" => false,
        "" | "application/octet-stream" => body.starts_with(b"\0asm"),
        other => {
            return Err(Error::invalid(format!(
                "content type {other:?}: send a component as application/wasm or settings as application/toml"
            )));
        }
    };
    let file = blocking({
        let (folder, name) = (app.folder.by(&caller), name.clone());
        let plugins = app.handles.plugins.clone();
        move || {
            if is_component {
                return folder.put_component(&name, &body);
            }
            check_settings(plugins.as_ref(), &name, &String::from_utf8_lossy(&body))?;
            folder.put_settings(&name, &body)
        }
    })
    .await?;
    Ok(Json(written(&name, &file)))
}

pub(crate) async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
    Body(request): Body<PluginPatch>,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    change(&app, PluginName::new(&name)?, &caller, request).await
}

async fn change(app: &App, name: PluginName, caller: &str, request: PluginPatch) -> ApiResult<PluginFile> {
    let (folder, plugins, answer) = (app.folder.by(caller), app.handles.plugins.clone(), of(&name));
    blocking(move || {
        folder.edit(&name, |text| {
            let mut text = text.to_owned();
            if !request.settings.is_empty() {
                text = edit::merge_settings(&text, &request.settings)?;
                check_settings(plugins.as_ref(), &name, &text)?;
            }
            if let Some(enabled) = request.enabled {
                text = edit::set_enabled(&text, enabled)?;
            }
            Ok(text)
        })
    })
    .await?;
    Ok(Json(answer))
}

/// Refuses settings that the plugin's component does not accept. Other errors in the file are reported when it is loaded.
fn check_settings(plugins: &dyn Plugins, name: &PluginName, text: &str) -> Result<(), Error> {
    match PluginSettings::parse(text) {
        Ok(file) => plugins.check_settings(name, &file).map_err(Error::invalid),
        Err(_) => Ok(()),
    }
}

pub(crate) async fn delete(State(app): State<App>, Path(name): Path<String>, params: Params) -> ApiResult<Empty> {
    params.only(&["purgeState"])?;
    let purge = match params.one("purgeState") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(Error::invalid(format!("purgeState is {other:?}; it is true or false"))),
    };
    let (folder, name) = (app.folder.clone(), PluginName::new(&name)?);
    let removed = blocking({
        let name = name.clone();
        move || folder.remove(&name)
    });
    let removed = removed.await;
    if !purge {
        return removed.map(|()| Json(Empty {}));
    }
    // The plugin may have state even if there are no files.
    let had_files = removed.is_ok();
    if let Err(error) = removed
        && error.status != ErrorStatus::NotFound
    {
        return Err(error);
    }
    wait(&app, &name, |view| view.is_none()).await;
    match app.handles.plugins.delete_kept(&name).await {
        Ok(()) => Ok(Json(Empty {})),
        Err(DeleteError::NothingKept(_)) if had_files => Ok(Json(Empty {})),
        Err(DeleteError::NothingKept(text)) => Err(Error::new(ErrorStatus::NotFound, text)),
        Err(DeleteError::Installed(text)) => Err(Error::new(ErrorStatus::FailedPrecondition, text)),
        Err(DeleteError::Failed(text)) => Err(Error::new(ErrorStatus::Internal, text)),
    }
}

pub(crate) async fn enable(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    switch(&app, &name, &caller, true).await
}

pub(crate) async fn disable(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    switch(&app, &name, &caller, false).await
}

/// How long a call waits until the files that it wrote are in force.
const IN_FORCE_WITHIN: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Answers with the plugin's state at that time: it may differ from the requested one if an earlier change of the plugin
/// is still in progress.
async fn switch(app: &App, name: &str, caller: &str, enabled: bool) -> ApiResult<PluginFile> {
    let name = PluginName::new(name)?;
    let _ = change(app, name.clone(), caller, PluginPatch { enabled: Some(enabled), ..PluginPatch::default() }).await?;
    let view = wait(app, &name, |view| view.is_some_and(|view| (view.state != "disabled") == enabled)).await;
    Ok(Json(PluginFile { state: view.map(|view| view.state), ..of(&name) }))
}

/// Polls the plugin until `done`, or until the time that a call may wait is over.
async fn wait(app: &App, name: &PluginName, done: impl Fn(Option<&Plugin>) -> bool) -> Option<Plugin> {
    let until = Instant::now() + IN_FORCE_WITHIN;
    loop {
        let view = app.handles.plugins.get(name).await;
        if done(view.as_ref()) || Instant::now() >= until {
            return view;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn reload(State(app): State<App>, Path(name): Path<String>, params: Params) -> ApiResult<PluginFile> {
    params.only(&[])?;
    let (folder, name) = (app.folder.clone(), PluginName::new(&name)?);
    let answer = of(&name);
    blocking(move || folder.touch(&name)).await?;
    Ok(Json(answer))
}
