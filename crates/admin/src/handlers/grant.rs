//! An operator's consent: what a plugin asks for, or less, written into its settings file.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    edit,
    error::{Error, Kind},
    reply::{Answer, Body},
};
use switchbox_model::PluginName;
use switchbox_plugin_runtime::{Capability, Granted, PluginSettings};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantIn {
    /// Patterns by capability. None: all that the component asks for.
    /// Bounded by the body; the plugin's own limits are `grants` and `patterns-bytes`.
    pub(crate) grants: Option<Granted>,
}

pub(crate) async fn grant(
    State(app): State<App>,
    Path(name): Path<String>,
    params: Params,
    Body(wanted): Body<GrantIn>,
) -> Answer {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let granted = match wanted.grants {
        Some(granted) => granted,
        None => asked(&app, &name).await?,
    };
    let (folder, shown) = (app.folder.clone(), name.clone());
    let text = serde_json::to_value(&granted).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    blocking(move || {
        folder.edit(&name, |text| {
            let text = edit::set_grants(text, &granted)?;
            PluginSettings::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
            Ok(text)
        })
    })
    .await?;
    Ok(Json(json!({"name": shown.as_str(), "grants": text})))
}

async fn asked(app: &App, name: &PluginName) -> Result<Granted, Error> {
    let view = app.parts.plugins.get(name).await.ok_or_else(|| Error::not_found(format!("plugin {name}")))?;
    let mut granted = Granted::new();
    for grant in &view.grants {
        let Some((capability, pattern)) = grant.split_once(' ') else { continue };
        let Some(capability) = Capability::ALL.into_iter().find(|c| c.as_str() == capability) else { continue };
        granted.entry(capability).or_default().push(pattern.to_owned());
    }
    if granted.is_empty() {
        let text = format!("plugin {name} asks for nothing (its state: {}); name what to grant", view.state);
        return Err(Error::new(Kind::FailedPrecondition, text));
    }
    Ok(granted)
}
