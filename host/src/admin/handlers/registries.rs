//! Registries.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::json;

use super::{RegistryPath, registry_name, split_verb};
use crate::{
    admin::{
        App,
        convert::{self, EnumStyle, Params, RegistryIn, bad_token},
        error::Error,
        reply::{Answer, Body},
    },
    model::RegistryName,
};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 10_000;

fn show(app: &App, name: &RegistryName, style: EnumStyle) -> Answer {
    let found = app.parts.registry.registries().into_iter().find(|(found, _)| found == name);
    let (name, created_ms) = found.ok_or_else(|| Error::not_found(format!("registry {name}")))?;
    Ok(Json(convert::registry(&name, created_ms, style)))
}

pub(in crate::admin) async fn list(
    State(app): State<App>,
    Path((p, l)): Path<(String, String)>,
    params: Params,
) -> Answer {
    params.only(&["pageSize", "pageToken"])?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let after = match params.one("pageToken") {
        Some(token) => Some(RegistryName::of(&p, &l, token).map_err(|_| bad_token(token))?),
        None => None,
    };
    let all = app.parts.registry.registries();
    let mut found = all.into_iter().filter(|(name, _)| {
        name.project() == p && name.location() == l && after.as_ref().is_none_or(|after| name > after)
    });
    let page: Vec<_> = found.by_ref().take(limit).collect();
    let more = found.next().and_then(|_| page.last());
    let mut answer = json!({
        "deviceRegistries": page.iter().map(|(name, created)| convert::registry(name, *created, params.enums())).collect::<Vec<_>>(),
    });
    if let (Some((last, _)), Some(fields)) = (more, answer.as_object_mut()) {
        fields.insert("nextPageToken".into(), last.id().into());
    }
    Ok(Json(answer))
}

pub(in crate::admin) async fn create(
    State(app): State<App>,
    Path((p, l)): Path<(String, String)>,
    params: Params,
    Body(wanted): Body<RegistryIn>,
) -> Answer {
    params.only(&[])?;
    wanted.check()?;
    let name = registry_name(&p, &l, wanted.id()?)?;
    app.parts.registry.create_registry(name.clone()).await?;
    show(&app, &name, params.enums())
}

pub(in crate::admin) async fn get(State(app): State<App>, Path((p, l, r)): RegistryPath, params: Params) -> Answer {
    params.only(&[])?;
    show(&app, &registry_name(&p, &l, &r)?, params.enums())
}

pub(in crate::admin) async fn patch(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
    Body(wanted): Body<RegistryIn>,
) -> Answer {
    params.only(&["updateMask"])?;
    wanted.check()?;
    show(&app, &registry_name(&p, &l, &r)?, params.enums())
}

pub(in crate::admin) async fn delete(State(app): State<App>, Path((p, l, r)): RegistryPath, params: Params) -> Answer {
    params.only(&[])?;
    app.parts.registry.delete_registry(&registry_name(&p, &l, &r)?).await?;
    Ok(Json(json!({})))
}

pub(in crate::admin) async fn verb(Path((_, _, r)): RegistryPath) -> Answer {
    match split_verb(&r)? {
        (_, "bindDeviceToGateway" | "unbindDeviceFromGateway") => Err(Error::unimplemented("gateways")),
        (_, verb) => Err(Error::unimplemented(&format!("{verb:?} on a registry"))),
    }
}
