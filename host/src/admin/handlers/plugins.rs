//! Plugins: what runs is asked of those who run it; what should run is written into the watched folder.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::blocking;
use crate::{
    admin::{
        App,
        convert::Params,
        edit,
        error::{Error, Kind},
        plugins::PluginView,
        reply::{Answer, Body, Raw},
    },
    model::PluginName,
};

fn show(view: &PluginView) -> Answer {
    serde_json::to_value(view).map(Json).map_err(|e| Error::new(Kind::Internal, e.to_string()))
}

pub(in crate::admin) async fn list(State(app): State<App>, params: Params) -> Answer {
    params.only(&[])?;
    Ok(Json(json!({"plugins": app.parts.plugins.list().await})))
}

pub(in crate::admin) async fn get(State(app): State<App>, Path(name): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let view = app.parts.plugins.get(&name).await;
    show(&view.ok_or_else(|| Error::not_found(format!("plugin {name}")))?)
}

/// A component (`application/wasm`, or anything that begins like one) or a settings file (`application/toml`).
pub(in crate::admin) async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Answer {
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
        let (folder, name) = (app.folder.clone(), name.clone());
        move || if is_component { folder.put_component(&name, &body) } else { folder.put_settings(&name, &body) }
    })
    .await?;
    Ok(Json(json!({"name": name.as_str(), "file": file.display().to_string()})))
}

/// A change of the settings file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct PatchIn {
    pub(in crate::admin) enabled: Option<bool>,
    /// Merged into the plugin's own settings; null takes a key away.
    #[serde(default)]
    pub(in crate::admin) settings: Map<String, Value>,
}

pub(in crate::admin) async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(wanted): Body<PatchIn>,
) -> Answer {
    params.only(&[])?;
    change(&app, PluginName::new(&name)?, wanted).await
}

async fn change(app: &App, name: PluginName, wanted: PatchIn) -> Answer {
    let folder = app.folder.clone();
    let shown = name.clone();
    blocking(move || {
        folder.edit(&name, |text| {
            let mut text = text.to_owned();
            if !wanted.settings.is_empty() {
                text = edit::merge_settings(&text, &wanted.settings)?;
            }
            if let Some(enabled) = wanted.enabled {
                text = edit::set_enabled(&text, enabled)?;
            }
            Ok(text)
        })
    })
    .await?;
    Ok(Json(json!({"name": shown.as_str()})))
}

pub(in crate::admin) async fn delete(State(app): State<App>, Path(name): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    let (folder, name) = (app.folder.clone(), PluginName::new(&name)?);
    blocking(move || folder.remove(&name)).await?;
    Ok(Json(json!({})))
}

pub(in crate::admin) async fn enable(State(app): State<App>, Path(name): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    switch(&app, &name, true).await
}

pub(in crate::admin) async fn disable(State(app): State<App>, Path(name): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    switch(&app, &name, false).await
}

async fn switch(app: &App, name: &str, enabled: bool) -> Answer {
    change(app, PluginName::new(name)?, PatchIn { enabled: Some(enabled), settings: Map::new() }).await
}

pub(in crate::admin) async fn reload(State(app): State<App>, Path(name): Path<String>, params: Params) -> Answer {
    params.only(&[])?;
    let (folder, name) = (app.folder.clone(), PluginName::new(&name)?);
    let shown = name.clone();
    blocking(move || folder.touch(&name)).await?;
    Ok(Json(json!({"name": shown.as_str()})))
}
