//! Configs and method calls that an operator sends.

use std::time::{Duration, Instant};

use axum::Json;
use serde::Deserialize;
use serde_json::json;

use crate::{
    app::App,
    convert::{self, Base64, Int64, Span},
    error::{Error, Kind},
    gate::AdminPrincipal,
    reply::Answer,
};
use switchbox_core::{outbox::NewConfig, registry::Device};
use switchbox_model::{
    CallRecord, CallResult, Cause, Entry,
    limits::{self, fields},
};
use switchbox_store::ConfigReply;
use switchbox_support::clock;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ConfigIn {
    /// 0 = whichever is in force.
    #[serde(default, alias = "version_to_update")]
    pub(crate) version_to_update: Int64,
    /// Bounded by `fields::CONFIG`.
    #[serde(default, alias = "binary_data")]
    pub(crate) binary_data: Base64,
    /// Makes a new version also where the one in force has the same bytes.
    #[serde(default)]
    pub(crate) force: bool,
    #[serde(rename = "name")]
    _name: Option<String>,
}

pub(super) async fn config(app: &App, device: &Device, who: AdminPrincipal, wanted: ConfigIn) -> Answer {
    let expected = Some(wanted.version_to_update.0).filter(|version| *version > 0);
    let cause = Cause::Api { who: who.0.clone() };
    let config = NewConfig { payload: wanted.binary_data.0.into(), expected, force: wanted.force };
    let ConfigReply { version, unchanged } = app.parts.outbox.set_config(device, config, cause).await?;
    let shown = match device.config().filter(|config| config.version == version) {
        Some(config) => Some(convert::config(&config)),
        // A newer one is in force already.
        None => {
            let versions = app.parts.store.configs(device.num, limits::VERSIONS_KEPT).await?;
            versions.iter().find(|config| config.version == version).map(convert::config)
        }
    };
    let mut shown = shown.unwrap_or_else(|| json!({"version": version.to_string()}));
    if let Some(fields) = shown.as_object_mut().filter(|_| unchanged) {
        fields.insert("unchanged".into(), true.into());
    }
    Ok(Json(shown))
}

/// Of a command or a call, so that it can be asked about.
pub(super) fn new_id() -> Result<String, Error> {
    let number = getrandom::u64().map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    Ok(format!("api.{number:016x}"))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MethodIn {
    /// Bounded by `fields::METHOD_NAME`.
    pub(crate) method: String,
    /// Bounded by `fields::METHOD`.
    #[serde(default)]
    pub(crate) payload: Base64,
    pub(crate) timeout: Option<Span>,
}

pub(super) async fn method(app: &App, device: &Device, who: AdminPrincipal, wanted: MethodIn) -> Answer {
    let timeout = wanted.timeout.map_or(Duration::from_millis(limits::METHOD_TIMEOUT_MS), |timeout| timeout.0);
    if timeout.is_zero() {
        return Err(Error::invalid("timeout must be more than 0s").of_field("timeout"));
    }
    let secs = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    fields::METHOD_TIMEOUT.check("timeout", secs).map_err(|error| Error::from(error).of_field("timeout"))?;
    let (id, time_ms, began) = (new_id()?, clock::now_ms(), Instant::now());
    let request = CallRecord::beginning(&wanted.payload.0);
    let called = app.parts.delivery.call(device, &wanted.method, wanted.payload.0.into(), timeout).await;
    let record = CallRecord {
        id: id.clone(),
        cause: Cause::Api { who: who.0.clone() },
        device: device.num,
        method: wanted.method,
        request,
        time_ms,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        result: match &called {
            Ok(answer) => {
                CallResult::Answered { status: answer.status, payload: CallRecord::beginning(&answer.payload) }
            }
            Err(error) => CallResult::Failed(error.to_string()),
        },
    };
    app.parts.store.note(Entry::Called(vec![record]));
    tracing::info!(target: "audit", who = who.0, id, "a method was called");
    let answer = called.map_err(|error| Error::from(error).of_call(&id))?;
    Ok(Json(json!({"id": id, "status": answer.status, "payload": Base64::encode(&answer.payload)})))
}
