//! Commands: sending, listing and cancelling them.

use axum::{
    Extension, Json,
    extract::{Path, State},
};

use super::send::new_id;
use crate::{
    app::App,
    convert::{self, Params, bad_token},
    error::{Error, ErrorStatus},
    gate::AdminPrincipal,
    handlers::{DevicePath, lookup::found},
    reply::{ApiResult, Body, Items, Written},
};
use switchbox_admin_api::{
    Command, Empty, ListCommandsResponse, PurgeCommandsResponse, SendCommandToDeviceRequest,
    SendCommandToDeviceResponse,
};
use switchbox_core::outbox::NewCommand;
use switchbox_delivery::{CancelError, DownlinkKind};
use switchbox_model::{
    Cause,
    calls::{self, Subscription},
    limits::fields,
};
use switchbox_store::{CommandDoc, CommandFilter};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

pub(crate) async fn send(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
    Extension(caller): Extension<AdminPrincipal>,
    Body(request): Body<SendCommandToDeviceRequest>,
) -> ApiResult<SendCommandToDeviceResponse> {
    params.only(&[])?;
    let device = found(&app, &path)?;
    check_subfolder(&request.subfolder)?;
    let ttl = request.ttl.map_or_else(Default::default, |ttl| ttl.0);
    if ttl.is_zero() {
        let delivery = &app.handles.delivery;
        let subscribed = delivery.is_subscribed(device.num, DownlinkKind::Commands);
        let connected = subscribed || delivery.is_connected(device.num);
        calls::reachable(&device.name, connected, subscribed, Subscription::Commands).map_err(|why| {
            Error::new(ErrorStatus::FailedPrecondition, format!("{why}; give the command a ttl to let it wait"))
        })?;
    }
    let id = new_id()?;
    let cause = Cause::Api { caller: caller.0 };
    let answer = SendCommandToDeviceResponse { name: convert::command_name(&device.name, &id), id: id.clone() };
    let payload = request.binary_data.0;
    let of_message = request.system_properties.into_iter().map(|(name, value)| (format!("${name}"), value));
    let of_application = request.properties.into_iter().map(|property| (property.name, property.value));
    let properties = of_message.chain(of_application).collect();
    let command = NewCommand { id, subfolder: request.subfolder, payload, properties, ttl };
    app.handles.outbox.send_command(&device, command, cause).await?;
    Ok(Json(answer))
}

/// It becomes levels of the topic.
pub(crate) fn check_subfolder(subfolder: &str) -> Result<(), Error> {
    fields::SUBFOLDER.check_len("subfolder", subfolder.len())?;
    calls::subfolder(subfolder).map_err(|refusal| Error::invalid(refusal.to_string()))
}

/// Newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
) -> ApiResult<ListCommandsResponse<Written>> {
    params.only(&["pageSize", "pageToken", "status"])?;
    let device = found(&app, &path)?;
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let before = params.one("pageToken").map(|token| token.parse().map_err(|_| bad_token(token))).transpose()?;
    let status = params.one("status").map(convert::command_status).transpose()?;
    let filter = CommandFilter { before, status, limit: limit + 1 };
    let commands = app.handles.store.commands(device.num, filter).await?;
    let mut list = Items::default();
    let show = |command: &&CommandDoc| convert::command(Some(&device.name), command);
    let shown = commands.iter().take(limit).take_while(|command| list.push(&show(command))).last();
    let more = shown.is_some_and(|shown| commands.last().is_some_and(|last| last.num != shown.num));
    let next_page_token = shown.filter(|_| more).map(|command| command.num.to_string());
    Ok(Json(ListCommandsResponse { commands: list.page(&app.handles.counters), next_page_token }))
}

/// A command's path.
pub(crate) type CommandPath = Path<(String, String, String, String, String)>;

pub(crate) async fn get(
    State(app): State<App>,
    Path((p, l, r, d, id)): CommandPath,
    params: Params,
) -> ApiResult<Command> {
    params.only(&[])?;
    let device = found(&app, &(p, l, r, d))?;
    let command = app.handles.store.command(device.num, id.clone()).await?;
    let command = command.ok_or_else(|| Error::not_found(format!("command {id} of {}", device.name)))?;
    Ok(Json(convert::command(Some(&device.name), &command)))
}

pub(crate) async fn cancel(
    State(app): State<App>,
    Path((p, l, r, d, id)): CommandPath,
    params: Params,
    Extension(caller): Extension<AdminPrincipal>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let device = found(&app, &(p, l, r, d))?;
    app.handles.delivery.cancel(&device, &id).await?;
    tracing::info!(device = %device.name, command = id, who = %caller.0, "command cancelled");
    Ok(Json(Empty {}))
}

/// All commands that have not ended.
pub(crate) async fn purge(
    State(app): State<App>,
    Path(path): DevicePath,
    params: Params,
    Extension(caller): Extension<AdminPrincipal>,
) -> ApiResult<PurgeCommandsResponse> {
    params.only(&[])?;
    let device = found(&app, &path)?;
    let purged = app.handles.delivery.purge(&device).await?;
    tracing::info!(device = %device.name, purged, who = %caller.0, "commands purged");
    Ok(Json(PurgeCommandsResponse { purged }))
}

impl From<CancelError> for Error {
    fn from(error: CancelError) -> Self {
        let status = match error {
            CancelError::NoSuch(_) => ErrorStatus::NotFound,
            CancelError::Ended(..) => ErrorStatus::FailedPrecondition,
            CancelError::Journal(_) => ErrorStatus::Unavailable,
            CancelError::Store(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}
