//! The HTTP bridge: a device that does not use MQTT sends events and fetches its config. It authenticates with the token or password that
//! it would connect with. The answer comes when the event is durable, like a PUBACK.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, Path},
    http::request::Parts,
};
use tokio::sync::oneshot;

use super::{DevicePath, devices::commands::check_subfolder, registry_name};
use crate::{
    app::App,
    convert::{self, Params},
    error::{Error, ErrorStatus},
    head::bearer,
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{Base64, DeviceConfig, Empty, PublishEventRequest, SetStateRequest};
use switchbox_auth::{AuthRefusal, Credentials, Principal};
use switchbox_core::{
    ingest::{self, NewEvent},
    registry::Device,
};
use switchbox_model::{DeviceId, DeviceName, EventData, PayloadLimit, event::FILE_UPLOADED};
use switchbox_store::QueueShare;
use switchbox_transport::admission::network;

/// The device that calls, after authentication.
pub(crate) struct Caller(Arc<Device>);

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let Path((p, l, r, d)) =
            DevicePath::from_request_parts(parts, app).await.map_err(|e| Error::invalid(e.body_text()))?;
        let name = DeviceName { registry: registry_name(&p, &l, &r)?, id: DeviceId::new(&d)? };
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let credentials = Credentials {
            client_id: &name.to_string(),
            user_name: None,
            password: bearer(&parts.headers).map(str::as_bytes),
            address,
            certificates: &[],
            device: None,
            signed: None,
        };
        let auth_context =
            app.handles.auth.admit(credentials).await.map_err(|refusal| refused(app, address, &refusal, &name))?;
        let Principal::Device(device) = auth_context.principal else {
            return Err(Error::new(ErrorStatus::Unauthenticated, format!("{name} is not a device")));
        };
        match app.handles.registry.registry(&device.name.registry) {
            Some(registry) if !registry.spec.http_disabled => Ok(Self(device)),
            _ => Err(Error::new(
                ErrorStatus::PermissionDenied,
                format!("{} does not accept devices over HTTP", device.name.registry),
            )),
        }
    }
}

/// The answer has as little detail as a CONNACK; the log has the reason.
fn refused(app: &App, address: IpAddr, refusal: &AuthRefusal, name: &DeviceName) -> Error {
    if let Some(more) = app.bridge_log_limit.allow(network(address), Instant::now()) {
        tracing::info!(device = %name, %address, why = %refusal, "a device was refused over HTTP{more}");
    }
    match refusal {
        AuthRefusal::Unavailable(_) => {
            Error::new(ErrorStatus::Unavailable, "the device cannot be authenticated now; try again")
        }
        _ => Error::new(
            ErrorStatus::Unauthenticated,
            format!("not authorised as {name}: a token or password of it is needed"),
        ),
    }
}

pub(crate) async fn publish_event(
    Caller(device): Caller,
    axum::extract::State(app): axum::extract::State<App>,
    params: Params,
    Body(request): Body<PublishEventRequest>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let subfolder = request.sub_folder.unwrap_or(request.subfolder);
    check_subfolder(&subfolder)?;
    if subfolder == FILE_UPLOADED {
        return Err(Error::invalid("only the host itself makes events of this sub-folder").of_field("subfolder"));
    }
    let payload = within("telemetry", app.payloads.telemetry(), request.binary_data)?;
    let data = EventData::Telemetry { subfolder, payload, properties: vec![] };
    send(&app, &device, data).await
}

pub(crate) async fn set_state(
    Caller(device): Caller,
    axum::extract::State(app): axum::extract::State<App>,
    params: Params,
    Body(request): Body<SetStateRequest>,
) -> ApiResult<Empty> {
    params.only(&[])?;
    let payload = within("the state", app.payloads.state(), request.state.binary_data)?;
    send(&app, &device, EventData::State { version: 0, payload }).await
}

/// The newest config, if it is newer than the one that the device has.
pub(crate) async fn config(Caller(device): Caller, params: Params) -> ApiResult<DeviceConfig> {
    params.only(&["localVersion"])?;
    let local = params.one("localVersion").map_or(Ok(0), |text| {
        text.parse::<u64>().map_err(|_| Error::invalid("localVersion must be a whole number").of_field("localVersion"))
    })?;
    let newest = device.config().filter(|config| config.version > local);
    Ok(Json(newest.map(|config| convert::config_for_device(&config)).unwrap_or_default()))
}

pub(crate) fn within(what: &str, limit: PayloadLimit, payload: Base64) -> Result<bytes::Bytes, Error> {
    let (bytes, max) = (payload.0.len(), limit.bytes);
    if bytes > max {
        let text = format!("{what} of {bytes} bytes is larger than {max} (limit {})", limit.limit);
        return Err(Error::invalid(text).at_limit(limit.limit).of_field("binaryData"));
    }
    Ok(payload.0)
}

async fn send(app: &App, device: &Arc<Device>, data: EventData) -> ApiResult<Empty> {
    let bytes = match &data {
        EventData::Telemetry { payload, .. } | EventData::State { payload, .. } => payload.len(),
        _ => 0,
    };
    let room = app.handles.ingest.reserve(bytes, QueueShare::Bounded).await?;
    let (done, durable) = oneshot::channel();
    let done = Box::new(move |result| {
        // The caller may have disconnected.
        let _ = done.send(result);
    });
    app.handles.ingest.submit(device, vec![NewEvent::new(true, data)], room, done);
    durable.await.unwrap_or(Err(ingest::Error::Closed))?;
    Ok(Json(Empty {}))
}

impl From<ingest::Error> for Error {
    fn from(error: ingest::Error) -> Self {
        Self::new(ErrorStatus::Unavailable, error.to_string())
    }
}
