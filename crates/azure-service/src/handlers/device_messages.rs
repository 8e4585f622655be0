//! Messages of devices over HTTPS: sending events, and fetching, completing, rejecting and abandoning messages.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest as _, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::{
    app::App,
    body::Body,
    device::DeviceCaller,
    error::{Code, ServiceError},
};
use switchbox_azure::headers;
use switchbox_core::{
    ingest::{self, NewEvent},
    registry::Device,
};
use switchbox_delivery::{Fetched, FetchedOutcome};
use switchbox_model::{EventData, Property, event::about, limits::fields};
use switchbox_store::QueueShare;
use switchbox_support::clock;

/// The content type of a call with several messages.
const BATCH: &str = "application/vnd.microsoft.iothub.json";

/// One of several messages. The limit of the call's body bounds all its fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageIn {
    /// Base64, unless `base64_encoded` is `false`.
    body: String,
    base64_encoded: Option<bool>,
    #[serde(default)]
    properties: std::collections::BTreeMap<String, String>,
}

impl MessageIn {
    fn event(self, app: &App) -> Result<NewEvent, ServiceError> {
        let payload = match self.base64_encoded {
            Some(false) => self.body.into_bytes(),
            _ => STANDARD
                .decode(self.body)
                .map_err(|error| ServiceError::invalid(format!("a message's body is not base64: {error}")))?,
        };
        let properties = self.properties.iter();
        let properties = properties.filter_map(|(name, value)| headers::read(name, value.as_bytes())).collect();
        event(app, payload.into(), properties)
    }
}

fn event(app: &App, payload: Bytes, properties: Vec<Property>) -> Result<NewEvent, ServiceError> {
    let limit = app.payloads.telemetry();
    if payload.len() > limit.bytes {
        let text = format!("a message of {} bytes is larger than {} ({})", payload.len(), limit.bytes, limit.setting);
        return Err(ServiceError::new(Code::RequestTooLarge, text).limit(limit.limit));
    }
    let data = EventData::Telemetry { subfolder: String::new(), payload, properties };
    Ok(NewEvent::new(true, data))
}

/// Answers when all events are durable.
pub(crate) async fn send(
    State(app): State<App>,
    DeviceCaller(device): DeviceCaller,
    request: Request,
) -> Result<StatusCode, ServiceError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_batch = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(BATCH));
    let events = if is_batch {
        let Body(messages) = Body::<Vec<MessageIn>>::from_request(request, &app).await?;
        fields::HUB_MESSAGES.check_len("messages in one call", messages.len())?;
        messages.into_iter().map(|message| message.event(&app)).collect::<Result<_, _>>()?
    } else {
        let properties = header_properties(request.headers());
        vec![event(&app, crate::body::bytes(request, &app).await?, properties)?]
    };
    submit(&app, &device, events).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn header_properties(headers: &HeaderMap) -> Vec<Property> {
    headers.iter().filter_map(|(name, value)| headers::read(name.as_str(), value.as_bytes())).collect()
}

pub(super) async fn submit(app: &App, device: &Arc<Device>, events: Vec<NewEvent>) -> Result<(), ServiceError> {
    if events.is_empty() {
        return Ok(());
    }
    let bytes = events.iter().map(|event| event.data.payload().len()).sum();
    let room = app.handles.ingest.reserve(bytes, QueueShare::Bounded).await?;
    let (done, durable) = oneshot::channel();
    let done = Box::new(move |result| {
        // The caller may have disconnected.
        let _ = done.send(result);
    });
    app.handles.ingest.submit(device, events, room, done);
    Ok(durable.await.unwrap_or(Err(ingest::Error::Closed))?)
}

/// The oldest message that waits for the device; 204 if there is none.
pub(crate) async fn fetch(
    State(app): State<App>,
    DeviceCaller(device): DeviceCaller,
) -> Result<Response, ServiceError> {
    let fetched = app.handles.delivery.fetch(&device).await?;
    Ok(fetched.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |fetched| message(&device, fetched)))
}

/// An HTTP response with the headers of a command, followed by those of its properties.
fn message(device: &Device, fetched: Fetched) -> Response {
    let Fetched { command, token, delivery_count } = fetched;
    let own = [
        ("etag", format!("\"{token}\"")),
        ("iothub-sequencenumber", command.num.to_string()),
        ("iothub-enqueuedtime", clock::rfc3339(command.created_ms)),
        ("iothub-deliverycount", delivery_count.to_string()),
        ("iothub-to", format!("/devices/{}/messages/devicebound", device.name.id)),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let expires = command.expires_ms.map(|at| ("iothub-expiry".to_owned(), clock::rfc3339(at)));
    let has_id = command.properties.iter().any(|(name, _)| name == about::MESSAGE_ID);
    let id = (!has_id).then_some((about::MESSAGE_ID, command.id.as_str()));
    let subfolder = (!command.subfolder.is_empty()).then_some(("subfolder", command.subfolder.as_str()));
    let properties = command.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let properties = id.into_iter().chain(subfolder).chain(properties);
    let properties = properties.filter_map(|(name, value)| headers::write(name, value));
    let properties = properties.map(|(name, value)| (name, value.into_owned()));
    let mut response = (StatusCode::OK, command.payload.clone()).into_response();
    for (name, value) in own.chain(expires).chain(properties) {
        // `headers::write` returns valid headers only.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// DELETE completes the message; with `reject` in the query, it rejects it.
pub(crate) async fn settle(
    State(app): State<App>,
    DeviceCaller(device): DeviceCaller,
    Path((_, token)): Path<(String, String)>,
    uri: Uri,
) -> Result<StatusCode, ServiceError> {
    let is_reject = |pair: &str| pair.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("reject"));
    let is_reject = uri.query().is_some_and(|query| query.split('&').any(is_reject));
    let outcome = if is_reject { FetchedOutcome::Rejected } else { FetchedOutcome::Completed };
    app.handles.delivery.settle_fetched(&device, &token, outcome).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the message to the queue, so that it can be fetched again.
pub(crate) async fn abandon(
    State(app): State<App>,
    DeviceCaller(device): DeviceCaller,
    Path((_, token)): Path<(String, String)>,
) -> Result<StatusCode, ServiceError> {
    app.handles.delivery.settle_fetched(&device, &token, FetchedOutcome::Abandoned).await?;
    Ok(StatusCode::NO_CONTENT)
}
