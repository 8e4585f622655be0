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
use switchbox_admin_api::{GrantRequest, GrantResponse, Plugin};
use switchbox_model::PluginName;
use switchbox_plugin_model::{Capability, GrantPatterns, GrantRequest as RequestedGrant, PluginSettings, ineffective};

pub(crate) async fn grant(
    State(app): State<App>,
    Path(name): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
    Body(request): Body<GrantRequest>,
) -> ApiResult<GrantResponse> {
    params.only(&[])?;
    let name = PluginName::new(&name)?;
    let view = app.handles.plugins.get(&name).await;
    let requested = view.as_ref().map(requested_grants).unwrap_or_default();
    let granted = match request.grants {
        Some(granted) => granted,
        None => all(&name, view, &requested)?,
    };
    let (folder, plugin, written) = (app.folder.by(&caller), name.clone(), granted.clone());
    blocking(move || {
        folder.edit(&plugin, |text| {
            let text = edit::set_grants(text, &written)?;
            PluginSettings::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
            Ok(text)
        })
    })
    .await?;
    // The patterns are valid.
    let in_force = ineffective::in_force(&requested, Some(&granted)).into_iter();
    let grants_in_force = in_force.map(|grant| format!("{} {}", grant.capability.as_str(), grant.pattern)).collect();
    Ok(Json(GrantResponse { name: name.to_string(), grants: granted, grants_in_force }))
}

/// The grants that the component asks for.
fn requested_grants(view: &Plugin) -> Vec<RequestedGrant> {
    let requested = |grant: &String| {
        let (capability, pattern) = grant.split_once(' ')?;
        let capability = Capability::ALL.into_iter().find(|c| c.as_str() == capability)?;
        Some(RequestedGrant { capability, pattern: pattern.to_owned() })
    };
    view.grants.iter().filter_map(requested).collect()
}

/// All that it asks for.
fn all(name: &PluginName, view: Option<Plugin>, requested: &[RequestedGrant]) -> Result<GrantPatterns, Error> {
    let view = view.ok_or_else(|| Error::not_found(format!("plugin {name}")))?;
    let mut granted = GrantPatterns::new();
    for grant in requested {
        granted.entry(grant.capability).or_default().push(grant.pattern.clone());
    }
    if granted.is_empty() {
        let text = format!("plugin {name} asks for nothing (its state: {}); name what to grant", view.state);
        return Err(Error::new(ErrorStatus::FailedPrecondition, text));
    }
    Ok(granted)
}
