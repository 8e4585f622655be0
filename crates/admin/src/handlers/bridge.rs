//! The HTTP bridge: what a device that speaks no MQTT sends and fetches, shown to be that device by the token or password that it
//! would connect with. Waits until what it sent is durable, as a PUBACK does.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use axum::{
    Json,
    extract::{ConnectInfo, FromRequestParts, Path},
    http::{header, request::Parts},
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{DevicePath, devices::commands::check_subfolder, registry_name};
use crate::{
    app::App,
    convert::{self, Base64, Params},
    error::{Error, Kind},
    reply::{Answer, Body},
};
use switchbox_auth::{Credentials, Principal, Refusal};
use switchbox_core::{
    ingest::{self, NewEvent},
    registry::Device,
};
use switchbox_model::{DeviceId, DeviceName, EventData, PayloadLimit};
use switchbox_support::scheduling::PriorityClass;
use switchbox_transport::admission::network;

/// The device that calls, proved.
pub(crate) struct Caller(Arc<Device>);

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let Path((p, l, r, d)) =
            DevicePath::from_request_parts(parts, app).await.map_err(|e| Error::invalid(e.body_text()))?;
        let name = DeviceName { registry: registry_name(&p, &l, &r)?, id: DeviceId::new(&d)? };
        let shown = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let credentials = Credentials {
            client_id: &name.to_string(),
            user_name: None,
            password: shown.and_then(|text| text.strip_prefix("Bearer ")).map(|text| text.trim().as_bytes()),
            address,
            certificates: &[],
            device: None,
            signed: None,
        };
        let auth_context =
            app.parts.auth.admit(credentials).await.map_err(|refusal| refused(app, address, &refusal, &name))?;
        let Principal::Device(device) = auth_context.principal else {
            return Err(Error::new(Kind::Unauthenticated, format!("{name} is no device")));
        };
        match app.parts.registry.registry(&device.name.registry) {
            Some(registry) if !registry.spec.http_disabled => Ok(Self(device)),
            _ => Err(Error::new(Kind::PermissionDenied, format!("{} has HTTP switched off", device.name.registry))),
        }
    }
}

/// Says as little as a CONNACK does; the log says why.
fn refused(app: &App, address: IpAddr, refusal: &Refusal, name: &DeviceName) -> Error {
    if let Some(more) = app.bridge_log_limit.note(network(address), Instant::now()) {
        tracing::info!(device = %name, %address, why = %refusal, "not let in over HTTP{more}");
    }
    match refusal {
        Refusal::Unavailable(_) => Error::new(Kind::Unavailable, "the device cannot be let in now; try again"),
        _ => {
            Error::new(Kind::Unauthenticated, format!("not authorised as {name}: a token or password of it is needed"))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventIn {
    /// Bounded by `PayloadLimits::telemetry`.
    #[serde(default, alias = "binary_data")]
    pub(crate) binary_data: Base64,
    /// Bounded by `fields::SUBFOLDER`.
    #[serde(default, alias = "subFolder", alias = "sub_folder")]
    pub(crate) subfolder: String,
    #[serde(rename = "name")]
    _name: Option<String>,
}

pub(crate) async fn publish_event(
    Caller(device): Caller,
    axum::extract::State(app): axum::extract::State<App>,
    params: Params,
    Body(wanted): Body<EventIn>,
) -> Answer {
    params.only(&[])?;
    check_subfolder(&wanted.subfolder)?;
    let payload = within("telemetry", app.payloads.telemetry(), wanted.binary_data)?;
    let data = EventData::Telemetry { subfolder: wanted.subfolder, payload: payload.into(), properties: vec![] };
    send(&app, &device, data).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateIn {
    pub(crate) state: StateDataIn,
    #[serde(rename = "name")]
    _name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StateDataIn {
    /// Bounded by `PayloadLimits::state`.
    #[serde(default, alias = "binary_data")]
    pub(crate) binary_data: Base64,
}

pub(crate) async fn set_state(
    Caller(device): Caller,
    axum::extract::State(app): axum::extract::State<App>,
    params: Params,
    Body(wanted): Body<StateIn>,
) -> Answer {
    params.only(&[])?;
    let payload = within("the state", app.payloads.state(), wanted.state.binary_data)?;
    send(&app, &device, EventData::State { version: 0, payload: payload.into() }).await
}

/// The newest config, when it is newer than the one that the device has.
pub(crate) async fn config(Caller(device): Caller, params: Params) -> Answer {
    params.only(&["localVersion"])?;
    let local = params.one("localVersion").map_or(Ok(0), |text| {
        text.parse::<u64>().map_err(|_| Error::invalid("localVersion must be a whole number").of_field("localVersion"))
    })?;
    let newest = device.config().filter(|config| config.version > local);
    Ok(Json(newest.map_or_else(|| json!({}), |config| convert::config_for_device(&config))))
}

pub(crate) fn within(what: &str, limit: PayloadLimit, payload: Base64) -> Result<Vec<u8>, Error> {
    let (bytes, most) = (payload.0.len(), limit.bytes);
    if bytes > most {
        let text = format!("{what} of {bytes} bytes is larger than {most} (limit {})", limit.limit);
        return Err(Error::invalid(text).at_limit(limit.limit).of_field("binaryData"));
    }
    Ok(payload.0)
}

async fn send(app: &App, device: &Arc<Device>, data: EventData) -> Answer {
    let bytes = match &data {
        EventData::Telemetry { payload, .. } | EventData::State { payload, .. } => payload.len(),
        _ => 0,
    };
    let room = app.parts.ingest.reserve(bytes, PriorityClass::Background).await?;
    let (done, durable) = oneshot::channel();
    let told = Box::new(move |result| {
        // The caller may have gone.
        let _ = done.send(result);
    });
    app.parts.ingest.submit(device, vec![NewEvent { durable: true, data }], room, told);
    durable.await.unwrap_or(Err(ingest::Error::Closed))?;
    Ok(Json(json!({})))
}

impl From<ingest::Error> for Error {
    fn from(error: ingest::Error) -> Self {
        Self::new(Kind::Unavailable, error.to_string())
    }
}
