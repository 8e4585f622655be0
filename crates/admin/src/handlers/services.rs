//! Service accounts, for programs that are not devices.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};

use super::{devices::credentials, log_warnings};
use crate::{
    app::App,
    convert::{self, Params, bad_token},
    error::Error,
    etag::{IfMatch, Tagged, tagged},
    reply::{ApiResult, Body, Items, Written},
};
use switchbox_admin_api::{DeviceCredential, Empty, ListServiceAccountsResponse, ServiceAccount, SetPasswordRequest};
use switchbox_model::{ServiceName, limits::SERVICES, patch::CredentialOwner};
use switchbox_store::ServiceDoc;

fn find(app: &App, name: &ServiceName) -> Result<Arc<ServiceDoc>, Error> {
    app.handles.registry.service(name).ok_or_else(|| Error::not_found(format!("service account {name}")))
}

/// Shows the account to the caller that has just created or changed it, with warnings.
fn changed(app: &App, name: &ServiceName, params: &Params) -> Tagged {
    let service = find(app, name)?;
    let warnings = convert::key_warnings(&service.spec.credentials);
    log_warnings(name, &warnings);
    let shown = ServiceAccount { warnings, ..convert::service(&service) };
    tagged(params.shown(&shown), service.revision)
}

/// In order of their names; a page token is the name of the last one.
pub(crate) async fn list(State(app): State<App>, params: Params) -> ApiResult<ListServiceAccountsResponse<Written>> {
    params.only(&["pageSize", "pageToken"])?;
    let limit = params.number("pageSize", SERVICES, SERVICES)?;
    let after = params.one("pageToken").map(|text| ServiceName::new(text).map_err(|_| bad_token(text))).transpose()?;
    let all = app.handles.registry.services();
    let found: Vec<_> = all.iter().filter(|service| after.as_ref().is_none_or(|after| service.name > *after)).collect();
    let mut list = Items::default();
    let show = |service: &&&Arc<ServiceDoc>| params.shown(&convert::service(service));
    let shown = found.iter().take(limit).take_while(|service| list.push(&show(service))).last();
    let more = shown.is_some_and(|shown| found.last().is_some_and(|last| last.name != shown.name));
    let next_page_token = shown.filter(|_| more).map(|last| last.name.to_string());
    let service_accounts = list.page(&app.handles.counters);
    Ok(Json(ListServiceAccountsResponse { service_accounts, next_page_token }))
}

pub(crate) async fn create(State(app): State<App>, params: Params, Body(request): Body<ServiceAccount>) -> Tagged {
    params.only(&[])?;
    let id = request.id.as_deref().ok_or_else(|| Error::invalid("id is missing").of_field("id"))?;
    let name = ServiceName::new(id)?;
    app.handles.registry.create_service(name.clone(), convert::service_spec(request)?).await?;
    changed(&app, &name, &params)
}

pub(crate) async fn get(State(app): State<App>, Path(name): Path<String>, params: Params) -> Tagged {
    params.only(&[])?;
    let service = find(&app, &ServiceName::new(&name)?)?;
    tagged(params.shown(&convert::service(&service)), service.revision)
}

pub(crate) async fn patch(
    State(app): State<App>,
    Path(name): Path<String>,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<ServiceAccount>,
) -> Tagged {
    params.only(&["updateMask"])?;
    let mask = params.update_mask("disabled,publish,subscribe")?;
    let name = ServiceName::new(&name)?;
    let patch = convert::service_patch(convert::service_spec(request)?, &mask)?;
    app.handles.registry.patch_service(&name, patch, revision).await?;
    changed(&app, &name, &params)
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    IfMatch(revision): IfMatch,
    params: Params,
) -> ApiResult<Empty> {
    params.only(&[])?;
    app.handles.registry.delete_service(&ServiceName::new(&name)?, revision).await?;
    Ok(Json(Empty {}))
}

pub(crate) async fn add_credential(
    State(app): State<App>,
    Path(name): Path<String>,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<DeviceCredential>,
) -> Tagged {
    params.only(&[])?;
    let (name, credential) = (ServiceName::new(&name)?, convert::credential(request)?);
    app.handles.registry.add_credential(CredentialOwner::Service(name.clone()), credential, revision).await?;
    changed(&app, &name, &params)
}

pub(crate) async fn remove_credential(
    State(app): State<App>,
    Path(name): Path<String>,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(request): Body<DeviceCredential>,
) -> Tagged {
    params.only(&[])?;
    let name = ServiceName::new(&name)?;
    app.handles
        .registry
        .remove_credential(CredentialOwner::Service(name.clone()), request.public_key.key, revision)
        .await?;
    changed(&app, &name, &params)
}

pub(crate) async fn set_password(
    State(app): State<App>,
    Path(name): Path<String>,
    IfMatch(revision): IfMatch,
    params: Params,
    Body(body): Body<SetPasswordRequest>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    app.handles
        .registry
        .set_service_password(&ServiceName::new(&name)?, credentials::hash(body).await?, revision)
        .await?;
    Ok(Json(Empty {}))
}
