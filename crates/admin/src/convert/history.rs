//! What happened, as the API shows it: versions, commands, events, executions, dead letters.

use serde_json::{Map, Value, json};

use super::Base64;
use switchbox_model::{
    Cause, CommandStatus, DeadLetter, DeviceName, DeviceNum, Effect, Event, EventData, Handled, Outcome, Property,
};
use switchbox_store::{CommandDoc, ConfigVersion, StateVersion};
use switchbox_support::clock;

/// How a device is called; none when it is gone.
pub(crate) type Names<'a> = &'a dyn Fn(DeviceNum) -> Option<DeviceName>;

fn bytes(bytes: &[u8]) -> Value {
    Base64::encode(bytes).into()
}

pub(super) fn cause(cause: &Cause) -> Value {
    match cause {
        Cause::Api { who } => json!({"api": {"who": who}}),
        Cause::Plugin { seq, plugin, digest, attempt, index } => json!({"plugin": {
            "name": plugin.as_str(), "digest": &**digest, "event": seq.to_string(), "attempt": attempt, "index": index,
        }}),
    }
}

/// Google's `DeviceConfig`, with Switchbox's `cause`.
pub(crate) fn config(version: &ConfigVersion) -> Value {
    let mut shown = json!({
        "version": version.version.to_string(),
        "cloudUpdateTime": clock::rfc3339(version.time_ms),
        "binaryData": bytes(&version.payload),
        "cause": cause(&version.cause),
    });
    if let (Some(acknowledged), Some(fields)) = (version.acknowledged_ms, shown.as_object_mut()) {
        fields.insert("deviceAckTime".into(), clock::rfc3339(acknowledged).into());
    }
    shown
}

/// The same, for the device itself, which does not learn who wanted it so.
pub(crate) fn config_for_device(version: &ConfigVersion) -> Value {
    let mut shown = config(version);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("cause");
    }
    shown
}

/// Google's `DeviceState`, with Switchbox's `version`.
pub(crate) fn state(version: &StateVersion) -> Value {
    json!({
        "version": version.version.to_string(),
        "updateTime": clock::rfc3339(version.time_ms),
        "binaryData": bytes(&version.payload),
    })
}

pub(crate) fn command_name(device: &DeviceName, id: &str) -> String {
    format!("{device}/commands/{id}")
}

/// `times` has the time of every status that the command has had.
pub(crate) fn command(device: Option<&DeviceName>, command: &CommandDoc) -> Value {
    let time = |ms| Value::from(clock::rfc3339(ms));
    let mut times = Map::new();
    times.insert(CommandStatus::Queued.as_str().into(), time(command.created_ms));
    times.extend(command.sent_ms.map(|ms| (CommandStatus::Sent.as_str().to_owned(), time(ms))));
    times.extend(command.settled_ms.map(|ms| (command.status.as_str().to_owned(), time(ms))));
    let mut shown = json!({
        "id": command.id,
        "subfolder": command.subfolder,
        "binaryData": bytes(&command.payload),
        "ttl": format!("{}s", std::time::Duration::from_millis(command.ttl_ms).as_secs_f64()),
        "status": command.status.as_str(),
        "times": times,
        "createTime": time(command.created_ms),
        "updateTime": time(command.changed_ms()),
        "cause": cause(&command.cause),
    });
    let expires = command.expires_ms.filter(|_| command.ttl_ms > 0 && command.verdict.is_none());
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(expires.map(|ms| ("expireTime".to_owned(), time(ms))));
        fields.extend(device.map(|device| ("name".to_owned(), command_name(device, &command.id).into())));
    }
    shown
}

pub(crate) fn event(event: &Event, names: Names<'_>) -> Value {
    let mut shown = Map::new();
    shown.insert("id".into(), event.seq.to_string().into());
    shown.insert("time".into(), clock::rfc3339(event.time_ms).into());
    shown.insert("kind".into(), json!(event.data.kind()));
    shown.insert("durable".into(), event.durable.into());
    if let Some(num) = event.device {
        shown.insert("deviceNumId".into(), num.num_id().to_string().into());
        if let Some(name) = names(num) {
            shown.insert("device".into(), name.to_string().into());
        }
    }
    if let Value::Object(data) = event_data(&event.data) {
        shown.extend(data);
    }
    Value::Object(shown)
}

fn properties(properties: &[Property]) -> Value {
    properties.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn event_data(data: &EventData) -> Value {
    match data {
        EventData::Connected => json!({}),
        EventData::Disconnected { reason } => json!({ "reason": reason }),
        EventData::Telemetry { subfolder, payload, properties: props } => {
            json!({"subfolder": subfolder, "binaryData": bytes(payload), "properties": properties(props)})
        }
        EventData::State { version, payload } => {
            json!({"version": version.to_string(), "binaryData": bytes(payload)})
        }
        EventData::CommandSettled { id, status } => json!({"commandId": id, "status": status.as_str()}),
        EventData::Timer { plugin, name, payload, due_ms, late } => json!({
            "plugin": plugin, "name": name, "binaryData": bytes(payload), "dueTime": clock::rfc3339(*due_ms), "late": late,
        }),
        EventData::Topic { topic, payload, properties: props } => {
            json!({"topic": topic, "binaryData": bytes(payload), "properties": properties(props)})
        }
    }
}

/// One handling of one event by one plugin.
pub(crate) fn execution(handled: &Handled, names: Names<'_>) -> Value {
    let mut shown = json!({
        "event": handled.seq.to_string(),
        "plugin": handled.plugin.as_str(),
        "digest": &*handled.digest,
        "attempt": handled.attempt,
        "time": clock::rfc3339(handled.time_ms),
        "tookUs": handled.took_us,
        "logs": handled.logs,
    });
    let (outcome, field, value) = match &handled.outcome {
        Outcome::Done { effects } => ("done", "effects", effects.iter().map(|e| effect(e, names)).collect()),
        Outcome::Dead { error, .. } => ("dead", "error", json!(error)),
    };
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("outcome".into(), outcome.into());
        fields.insert(field.into(), value);
    }
    shown
}

fn effect(effect: &Effect, names: Names<'_>) -> Value {
    let device = |num: &DeviceNum| names(*num).map_or_else(|| num.num_id().to_string(), |name| name.to_string());
    match effect {
        Effect::Config { device: num, payload, .. } | Effect::ConfigForced { device: num, payload, .. } => {
            json!({"config": {"device": device(num), "binaryData": bytes(payload)}})
        }
        Effect::Command { device: num, id, subfolder, payload, .. } => json!({"command": {
            "device": device(num), "id": id, "subfolder": subfolder, "binaryData": bytes(payload),
        }}),
        Effect::Publish { topic, payload, qos, retain } => json!({"publish": {
            "topic": topic, "qos": *qos as u8, "retain": retain, "binaryData": bytes(payload),
        }}),
        Effect::TimerSet(timer) => json!({"timer": {
            "name": timer.name, "schedule": timer.schedule, "dueTime": clock::rfc3339(timer.due_ms),
            "binaryData": bytes(&timer.payload),
        }}),
        Effect::TimerCancel { name } => json!({"timer": {"name": name, "cancelled": true}}),
        Effect::PatchDesired { device: num, patch, .. } => {
            json!({"desired": {"device": device(num), "patch": String::from_utf8_lossy(patch)}})
        }
        Effect::Kv(write) => {
            json!({"state": {"key": write.key, "revision": write.revision.to_string(), "deleted": write.value.is_none()}})
        }
    }
}

pub(crate) fn dead_letter(letter: &DeadLetter, names: Names<'_>) -> Value {
    json!({
        "id": letter.id.to_string(),
        "plugin": letter.plugin.as_str(),
        "digest": &*letter.digest,
        "attempt": letter.attempt,
        "time": clock::rfc3339(letter.time_ms),
        "error": letter.error,
        "logs": letter.logs,
        "event": event(&letter.event, names),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::Seq;

    #[test]
    fn an_event_of_a_device_that_is_gone_still_says_which_it_was() {
        let data = EventData::Telemetry { subfolder: "a".into(), payload: "x".into(), properties: vec![] };
        let happened = Event { seq: Seq(5), time_ms: 0, device: Some(DeviceNum(9)), durable: true, data };
        let shown = event(&happened, &|_| None);
        assert_eq!(
            shown,
            json!({"id": "5", "time": "1970-01-01T00:00:00.000Z", "kind": "telemetry", "durable": true,
                   "deviceNumId": "4611686018427387913", "subfolder": "a", "binaryData": "eA==", "properties": []})
        );
    }
}
