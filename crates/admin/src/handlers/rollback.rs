//! Back to the component that ran before: the host has kept it, and writes it into the watched folder again.

use axum::{
    Json,
    extract::{Path, State},
};

use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    error::{Error, Kind},
    reply::ApiResult,
};
use switchbox_admin_api::PluginFile;
use switchbox_model::PluginName;

pub(crate) async fn rollback(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult<PluginFile> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let view = app.parts.plugins.get(&name).await.ok_or_else(|| Error::not_found(format!("plugin {name}")))?;
    let refused = |text: String| Error::new(Kind::FailedPrecondition, text);
    // Another file may be other plugins' component too, and a built-in changes with the host alone.
    if !view.component.ends_with(&format!("{name}.wasm")) {
        return Err(refused(format!(
            "the component of {name} is {}; only one of the plugin's own, {name}.wasm, can be rolled back",
            view.component
        )));
    }
    let before =
        app.parts.plugins.previous(&name, &view.digest).await.map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    let before = before.ok_or_else(|| refused(format!("no other component of {name} has run before on this host")))?;
    let (folder, shown) = (app.folder.clone(), name.to_string());
    let file = blocking(move || folder.put_component(&name, &before)).await?;
    Ok(Json(PluginFile { name: shown, file: Some(file.display().to_string()), state: None }))
}
