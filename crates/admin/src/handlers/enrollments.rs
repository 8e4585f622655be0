//! Enrolments of a registry.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
};

use super::{DevicePath, RegistryPath, registry_name};
use crate::{
    app::App,
    convert::{self, Params},
    error::Error,
    reply::{ApiResult, Body, Items, Written},
};
use switchbox_admin_api::{Empty, Enrollment, ListEnrollmentsResponse};
use switchbox_model::{RegistryName, enrollment, limits::ENROLLMENTS};

fn all(app: &App, name: &RegistryName) -> Result<Arc<BTreeMap<String, enrollment::Enrollment>>, Error> {
    let found = app.handles.registry.registry(name);
    found.map(|registry| registry.enrollments).ok_or_else(|| Error::not_found(format!("registry {name}")))
}

fn find(app: &App, name: &RegistryName, id: &str, with_keys: bool) -> Result<Enrollment, Error> {
    let all = all(app, name)?;
    let found = all.get(id).ok_or_else(|| Error::not_found(format!("enrolment {id} of {name}")))?;
    Ok(convert::enrollment_shown(name, id, found, with_keys))
}

/// In order of their ids; a page token is the id of the last one.
pub(crate) async fn list(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
) -> ApiResult<ListEnrollmentsResponse<Written>> {
    params.only(&["pageSize", "pageToken"])?;
    let name = registry_name(&p, &l, &r)?;
    let limit = params.number("pageSize", ENROLLMENTS, ENROLLMENTS)?;
    let after = params.one("pageToken").unwrap_or_default();
    let all = all(&app, &name)?;
    let mut found = all.iter().filter(|(id, _)| id.as_str() > after).peekable();
    let mut list = Items::default();
    let (mut shown, mut last) = (0, None);
    while let Some((id, enrollment)) = found.peek()
        && shown < limit
        && list.push(&params.shown(&convert::enrollment_shown(&name, id, enrollment, false)))
    {
        (shown, last) = (shown + 1, Some((*id).clone()));
        found.next();
    }
    let next_page_token = last.filter(|_| found.peek().is_some());
    Ok(Json(ListEnrollmentsResponse { enrollments: list.page(&app.handles.counters), next_page_token }))
}

/// The only answer that contains its keys.
pub(crate) async fn create(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
    Body(request): Body<Enrollment>,
) -> ApiResult<Enrollment> {
    params.only(&[])?;
    let name = registry_name(&p, &l, &r)?;
    let (id, enrollment) = convert::enrollment(request)?;
    app.handles.registry.create_enrollment(&name, id.clone(), enrollment).await?;
    Ok(Json(find(&app, &name, &id, true)?))
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((p, l, r, id)): DevicePath,
    params: Params,
) -> ApiResult<Enrollment> {
    params.only(&[])?;
    Ok(Json(find(&app, &registry_name(&p, &l, &r)?, &id, false)?))
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path((p, l, r, id)): DevicePath,
    params: Params,
) -> ApiResult<Empty> {
    params.only(&[])?;
    app.handles.registry.delete_enrollment(&registry_name(&p, &l, &r)?, id, None).await?;
    Ok(Json(Empty {}))
}
