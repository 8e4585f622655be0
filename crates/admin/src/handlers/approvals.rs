//! Effects of plugins that wait for an operator's approval.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use crate::{
    app::App,
    convert::Params,
    error::{Error, ErrorStatus},
    gate::AdminPrincipal,
    plugins::ApprovalError,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{Approval, Empty, ListApprovalsResponse, RejectRequest};
use switchbox_model::limits::fields;

pub(crate) async fn list(State(app): State<App>, params: Params) -> ApiResult<ListApprovalsResponse> {
    params.only(&[])?;
    Ok(Json(ListApprovalsResponse { approvals: app.handles.plugins.approvals() }))
}

pub(crate) async fn get(State(app): State<App>, Path(id): Path<String>, params: Params) -> ApiResult<Approval> {
    params.only(&[])?;
    let found = app.handles.plugins.approvals().into_iter().find(|approval| approval.id == id);
    found.map(Json).ok_or_else(|| Error::not_found(format!("approval {id}")))
}

pub(crate) async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
) -> ApiResult<Empty> {
    params.only(&[])?;
    done(app.handles.plugins.approve(&id, &caller).await)
}

pub(crate) async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    Extension(AdminPrincipal(caller)): Extension<AdminPrincipal>,
    params: Params,
    Body(request): Body<RejectRequest>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let reason = request.reason.unwrap_or_default();
    fields::APPROVAL_REASON.check_len("reason", reason.len())?;
    done(app.handles.plugins.reject(&id, &caller, &reason).await)
}

fn done(done: Result<(), ApprovalError>) -> ApiResult<Empty> {
    match done {
        Ok(()) => Ok(Json(Empty {})),
        Err(ApprovalError::NotFound(text)) => Err(Error::new(ErrorStatus::NotFound, text)),
        Err(ApprovalError::Failed(text)) => Err(Error::new(ErrorStatus::Unavailable, text)),
    }
}
