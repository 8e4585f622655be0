//! Registries.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::json;

use super::{RegistryPath, insert_page, registry_name};
use crate::{
    admin::{
        App,
        convert::{self, Params, RegistryIn, bad_token},
        error::Error,
        reply::{Answer, Body},
    },
    model::RegistryName,
    store::RegistryDoc,
};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 10_000;

fn find(app: &App, name: &RegistryName) -> Result<RegistryDoc, Error> {
    app.parts.registry.registry(name).ok_or_else(|| Error::not_found(format!("registry {name}")))
}

fn show(app: &App, name: &RegistryName, params: &Params) -> Answer {
    Ok(Json(convert::registry(&find(app, name)?, params.enums())))
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
    let mut found = all.into_iter().filter(|RegistryDoc { name, .. }| {
        name.project() == p && name.location() == l && after.as_ref().is_none_or(|after| name > after)
    });
    let page: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and_then(|_| page.last()).map(|last| last.name.id().to_owned());
    let shown = page.iter().map(|registry| convert::registry(registry, params.enums())).collect();
    Ok(Json(insert_page("deviceRegistries", shown, next)))
}

pub(in crate::admin) async fn create(
    State(app): State<App>,
    Path((p, l)): Path<(String, String)>,
    params: Params,
    Body(wanted): Body<RegistryIn>,
) -> Answer {
    params.only(&[])?;
    let name = registry_name(&p, &l, wanted.id()?)?;
    app.parts.registry.create_registry(name.clone(), wanted.spec()?).await?;
    show(&app, &name, &params)
}

pub(in crate::admin) async fn get(State(app): State<App>, Path((p, l, r)): RegistryPath, params: Params) -> Answer {
    params.only(&[])?;
    show(&app, &registry_name(&p, &l, &r)?, &params)
}

pub(in crate::admin) async fn patch(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
    Body(wanted): Body<RegistryIn>,
) -> Answer {
    params.only(&["updateMask"])?;
    let mask = params.update_mask("logLevel,httpConfig")?;
    let name = registry_name(&p, &l, &r)?;
    let spec = convert::apply_registry_mask(&find(&app, &name)?.spec, &wanted.spec()?, &mask)?;
    app.parts.registry.change_registry(&name, spec).await?;
    show(&app, &name, &params)
}

pub(in crate::admin) async fn delete(State(app): State<App>, Path((p, l, r)): RegistryPath, params: Params) -> Answer {
    params.only(&[])?;
    app.parts.registry.delete_registry(&registry_name(&p, &l, &r)?).await?;
    Ok(Json(json!({})))
}

pub(in crate::admin) async fn no_policies() -> Answer {
    Err(Error::unimplemented("policies of a registry"))
}
