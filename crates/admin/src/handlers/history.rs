//! Lists of events and executions.

use axum::{Json, extract::State};

use crate::{
    app::App,
    convert::{self, Params, token},
    error::Error,
    reply::{ApiResult, Items, Written},
};
use switchbox_admin_api::{self as api, Time};
use switchbox_core::journal::{CallFilter, EventFilter, ExecutionFilter};
use switchbox_model::{CallRecord, Cause, DeviceName, DeviceNum, PluginName, RegistryName, Seq};

pub(super) const PAGE: usize = 50;
pub(super) const LARGEST_PAGE: usize = 1_000;

/// The parameter `device`, in any of the forms of a device's name.
pub(super) fn device_of(app: &App, params: &Params) -> Result<Option<DeviceNum>, Error> {
    let Some(text) = params.one("device") else { return Ok(None) };
    let name = DeviceName::parse(text, &RegistryName::default_registry())?;
    let device = app.handles.registry.find(&name);
    Ok(Some(device.ok_or_else(|| app.no_device(&name))?.num))
}

pub(crate) async fn events(State(app): State<App>, params: Params) -> ApiResult<api::ListEventsResponse<Written>> {
    params.only(&["pageSize", "pageToken", "device", "kind", "since"])?;
    let filter = EventFilter {
        device: device_of(&app, &params)?,
        kind: params.one("kind").map(convert::event_kind).transpose()?,
        since_ms: since(&params)?,
    };
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let found = app.handles.journal.events(params.position()?, limit, &filter).await?;
    let show = |event| convert::event(event, &|num| app.name_of(num));
    let list = Items::of(found.items.iter().map(show), found.full);
    Ok(Json(api::ListEventsResponse {
        events: list.page(&app.handles.counters),
        next_page_token: found.next.map(token),
        searched_to: found.searched_to_ms.map(Time),
    }))
}

pub(crate) async fn executions(
    State(app): State<App>,
    params: Params,
) -> ApiResult<api::ListExecutionsResponse<Written>> {
    params.only(&[
        "pageSize",
        "pageToken",
        "plugin",
        "event",
        "device",
        "interesting",
        "logged",
        "since",
        "withDevice",
    ])?;
    let filter = ExecutionFilter {
        plugin: params.one("plugin").map(PluginName::new).transpose()?,
        event: params.one("event").map(|text| number("event", text).map(Seq)).transpose()?,
        interesting: params.flag("interesting")?.unwrap_or(false),
        logged: params.flag("logged")?.unwrap_or(false),
        since_ms: since(&params)?,
        device: device_of(&app, &params)?,
    };
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let found = app.handles.journal.executions(params.position()?, limit, &filter).await?;
    let devices = match params.flag("withDevice")? {
        Some(true) => app.handles.journal.devices_of(found.items.iter().map(|handled| Some(handled.seq))).await?,
        _ => Vec::new(),
    };
    let items = found.items.iter().zip(devices.into_iter().chain(std::iter::repeat(None)));
    let names = |num| app.name_of(num);
    let show = |(handled, device): (&_, Option<DeviceNum>)| api::Execution {
        device: device.and_then(names).map(|name| name.to_string()),
        ..convert::execution(handled, &names)
    };
    let list = Items::of(items.map(show), found.full);
    Ok(Json(api::ListExecutionsResponse {
        executions: list.page(&app.handles.counters),
        next_page_token: found.next.map(token),
        searched_to: found.searched_to_ms.map(Time),
    }))
}

pub(crate) async fn method_calls(
    State(app): State<App>,
    params: Params,
) -> ApiResult<api::ListMethodCallsResponse<Written>> {
    params.only(&["pageSize", "pageToken", "device", "plugin", "since", "withDevice"])?;
    let filter = CallFilter {
        device: device_of(&app, &params)?,
        plugin: params.one("plugin").map(PluginName::new).transpose()?,
        since_ms: since(&params)?,
    };
    let limit = params.number("pageSize", PAGE, LARGEST_PAGE)?;
    let found = app.handles.journal.calls(params.position()?, limit, &filter).await?;
    let event = |call: &CallRecord| match &call.cause {
        Cause::Plugin { seq, .. } => Some(*seq),
        Cause::Api { .. } => None,
    };
    let devices = match params.flag("withDevice")? {
        Some(true) => app.handles.journal.devices_of(found.items.iter().map(event)).await?,
        _ => Vec::new(),
    };
    let items = found.items.iter().zip(devices.into_iter().chain(std::iter::repeat(None)));
    let names = |num| app.name_of(num);
    let show = |(call, device): (&_, Option<DeviceNum>)| api::MethodCall {
        event_device: device.and_then(names).map(|name| name.to_string()),
        ..convert::call(call, &names)
    };
    let list = Items::of(items.map(show), found.full);
    Ok(Json(api::ListMethodCallsResponse {
        method_calls: list.page(&app.handles.counters),
        next_page_token: found.next.map(token),
        searched_to: found.searched_to_ms.map(Time),
    }))
}

/// Milliseconds since the Unix epoch.
pub(super) fn since(params: &Params) -> Result<Option<u64>, Error> {
    let time = params.one("since").map(str::parse::<Time>).transpose();
    Ok(time.map_err(|error| Error::invalid(format!("since {error}")))?.map(|Time(ms)| ms))
}

pub(super) fn number(what: &str, text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| Error::invalid(format!("{what} must be a whole number, not {text:?}")))
}
