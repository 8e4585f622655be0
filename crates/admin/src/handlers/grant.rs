//! An operator's consent to grants: all or a part of what a plugin asks for, written into its settings file.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use crate::{
    app::App,
    blocking::blocking,
    convert::Params,
    edit,
    error::{Error, ErrorStatus},
    gate::AdminPrincipal,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{GrantRequest, GrantResponse};
use switchbox_model::PluginName;
use switchbox_plugin_model::{Capability, GrantPatterns, PluginSettings};

pub(crate) async fn grant(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
    Body(request): Body<GrantRequest>,
) -> ApiResult<GrantResponse> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let granted = match request.grants {
        Some(granted) => granted,
        None => requested_grants(&app, &name).await?,
    };
    let (folder, answer) = (app.folder.by(&caller), GrantResponse { name: name.to_string(), grants: granted.clone() });
    blocking(move || {
        folder.edit(&name, |text| {
            let text = edit::set_grants(text, &granted)?;
            PluginSettings::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
            Ok(text)
        })
    })
    .await?;
    Ok(Json(answer))
}

async fn requested_grants(app: &App, name: &PluginName) -> Result<GrantPatterns, Error> {
    let view = app.handles.plugins.get(name).await.ok_or_else(|| Error::not_found(format!("plugin {name}")))?;
    let mut granted = GrantPatterns::new();
    for grant in &view.grants {
        let Some((capability, pattern)) = grant.split_once(' ') else { continue };
        let Some(capability) = Capability::ALL.into_iter().find(|c| c.as_str() == capability) else { continue };
        granted.entry(capability).or_default().push(pattern.to_owned());
    }
    if granted.is_empty() {
        let text = format!("plugin {name} asks for nothing (its state: {}); name what to grant", view.state);
        return Err(Error::new(ErrorStatus::FailedPrecondition, text));
    }
    Ok(granted)
}
