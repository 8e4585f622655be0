//! A device's twin: its identity, tags, desired and reported.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    authentication,
    documents::{self, Version},
    error::ServiceError,
    etag, identity,
    members::Members,
    tags,
};
use switchbox_azure_query::NeededDocuments;
use switchbox_core::registry::{Device, Registered};
use switchbox_model::limits::VERSIONS_KEPT;

/// A whole twin. The values of its documents keep their text.
#[derive(Serialize)]
pub(crate) struct Twin {
    #[serde(flatten)]
    fields: Map<String, Value>,
    tags: Members,
    properties: Properties,
}

#[derive(Serialize)]
struct Properties {
    desired: Members,
    reported: Members,
}

impl Twin {
    pub(crate) fn etag(&self) -> &str {
        self.fields.get("etag").and_then(Value::as_str).unwrap_or_default()
    }
}

/// What the ETag of a twin names. It is read before the documents, so a twin never has the ETag of what it does not show.
struct EtagParts {
    registered: Registered,
    config_version: u64,
}

impl EtagParts {
    fn of(device: &Device) -> Self {
        Self { registered: device.registered(), config_version: device.config_version() }
    }
}

/// The part of a twin that a query examines: without `$metadata`, and without documents that it does not need.
pub(crate) fn partial(app: &App, device: &Device, needs: NeededDocuments) -> Value {
    let etag_parts = EtagParts::of(device);
    let config = device.config().filter(|_| needs.desired);
    let state = device.state().filter(|_| needs.reported);
    let desired = config.as_ref().map(|config| version(config.version, config.time_ms, &config.payload));
    let reported = state.as_ref().map(|state| version(state.version, state.time_ms, &state.payload));
    let properties =
        json!({ "desired": documents::without_metadata(desired), "reported": documents::without_metadata(reported) });
    let tags = if needs.tags { documents::object(tags::text(&etag_parts.registered.spec)) } else { Map::new() };
    let mut twin = fields(app, device, &etag_parts);
    twin.insert("properties".into(), properties);
    twin.insert("tags".into(), Value::Object(tags));
    Value::Object(twin)
}

/// The whole twin.
pub(crate) async fn full(app: &App, device: &Device) -> Result<Twin, ServiceError> {
    let etag_parts = EtagParts::of(device);
    let (configs, states) = app.handles.store.configs_and_states(device.num, VERSIONS_KEPT).await?;
    let desired = documents::with_metadata(configs.iter().map(|c| version(c.version, c.time_ms, &c.payload)));
    let reported = documents::with_metadata(states.iter().map(|s| version(s.version, s.time_ms, &s.payload)));
    Ok(Twin {
        fields: fields(app, device, &etag_parts),
        tags: tags::of(&etag_parts.registered.spec),
        properties: Properties { desired, reported },
    })
}

fn version(number: u64, time_ms: u64, payload: &[u8]) -> Version<'_> {
    Version { number, time_ms, payload }
}

/// All but tags and properties.
fn fields(app: &App, device: &Device, etag_parts: &EtagParts) -> Map<String, Value> {
    let EtagParts { registered, config_version } = etag_parts;
    let spec = &registered.spec;
    let state_version = device.state().map_or(0, |state| state.version);
    let twin = json!({
        "deviceId": device.name.id.as_str(),
        "etag": etag::of_twin(registered, *config_version),
        "deviceEtag": etag::of_identity(registered),
        "status": identity::status(spec),
        "statusUpdateTime": documents::NEVER,
        "connectionState": identity::connection_state(app, device),
        "lastActivityTime": identity::last_activity(device),
        "cloudToDeviceMessageCount": identity::waiting_messages(app, device),
        "authenticationType": authentication::kind(spec),
        "x509Thumbprint": authentication::thumbprints(spec),
        "modelId": "",
        "capabilities": { "iotEdge": false },
        "version": registered.revision + config_version + state_version,
    });
    let Value::Object(mut fields) = twin else { return Map::new() };
    if let Some(reason) = identity::status_reason(spec) {
        fields.insert("statusReason".into(), reason.as_str().into());
    }
    fields
}
