//! Converts versions, commands, events, executions and dead letters for answers.

use std::collections::BTreeMap;

use switchbox_admin_api::{self as api, Base64, Int64, Span, Time};
use switchbox_model::{
    Cause, CommandStatus, DeadLetter, DeviceName, DeviceNum, Effect, Event, EventData, Handled, JournaledDigest,
    Outcome, Property,
    event::about,
    timer::{Schedule, Timer},
};
use switchbox_store::{CommandDoc, ConfigVersion, StateVersion};

/// Looks up the name of a device; `None` if it was deleted.
pub(crate) type Names<'a> = &'a dyn Fn(DeviceNum) -> Option<DeviceName>;

/// The device's name, or its number if it was deleted.
pub(super) fn name_or_num(num: DeviceNum, names: Names<'_>) -> String {
    names(num).map_or_else(|| num.num_id().to_string(), |name| name.to_string())
}

/// The digest of a component, and whether a canary had it.
pub(super) fn digest(journaled: &str) -> (String, Option<bool>) {
    let JournaledDigest { component, by_canary } = JournaledDigest::parse(journaled);
    (component.to_owned(), by_canary.then_some(true))
}

pub(super) fn cause(cause: &Cause) -> api::Cause {
    match cause {
        Cause::Api { caller } => api::Cause::Api { caller: caller.clone() },
        Cause::Plugin { seq, plugin, digest, attempt, index } => {
            let (digest, canary) = self::digest(digest);
            let (name, event) = (plugin.to_string(), Int64(seq.0));
            api::Cause::Plugin { name, digest, canary, event, attempt: *attempt, index: *index }
        }
    }
}

pub(crate) fn config(version: &ConfigVersion) -> api::DeviceConfig {
    api::DeviceConfig { cause: Some(cause(&version.cause)), ..config_for_device(version) }
}

/// A version for the device itself, without its author.
pub(crate) fn config_for_device(version: &ConfigVersion) -> api::DeviceConfig {
    api::DeviceConfig {
        version: Some(Int64(version.version)),
        cloud_update_time: Some(Time(version.time_ms)),
        binary_data: Some(Base64(version.payload.clone())),
        device_ack_time: version.acknowledged_ms.map(Time),
        ..api::DeviceConfig::default()
    }
}

pub(crate) fn state(version: &StateVersion) -> api::DeviceState {
    api::DeviceState {
        version: Some(Int64(version.version)),
        update_time: Some(Time(version.time_ms)),
        binary_data: Some(Base64(version.payload.clone())),
    }
}

pub(crate) fn command_name(device: &DeviceName, id: &str) -> String {
    format!("{device}/commands/{id}")
}

pub(crate) fn command(device: Option<&DeviceName>, command: &CommandDoc) -> api::Command {
    let had = [
        (CommandStatus::Queued, Some(command.created_ms)),
        (CommandStatus::Sent, command.sent_ms),
        (command.status, command.settled_ms),
    ];
    let times = had.into_iter().filter_map(|(status, time_ms)| Some((status.as_str().to_owned(), Time(time_ms?))));
    let expires_ms = command.expires_ms.filter(|_| command.ttl_ms > 0 && command.status_at_deadline.is_none());
    api::Command {
        id: command.id.clone(),
        name: device.map(|device| command_name(device, &command.id)),
        subfolder: command.subfolder.clone(),
        binary_data: Base64(command.payload.clone()),
        properties: properties(&command.properties),
        system_properties: system_properties(&command.properties),
        ttl: Span(std::time::Duration::from_millis(command.ttl_ms)),
        status: command.status,
        times: times.collect::<BTreeMap<_, _>>(),
        expire_time: expires_ms.map(Time),
        create_time: Time(command.created_ms),
        update_time: Time(command.changed_ms()),
        cause: cause(&command.cause),
        device: None,
    }
}

pub(crate) fn event(event: &Event, names: Names<'_>) -> api::Event {
    let mut shown = api::Event {
        device: event.device.and_then(names).map(|name| name.to_string()),
        device_num_id: event.device.map(|num| Int64(num.num_id())),
        ..api::Event::new(Int64(event.seq.0), Time(event.time_ms), event.data.kind(), event.durable)
    };
    let bytes = |payload: &bytes::Bytes| Some(Base64(payload.clone()));
    match &event.data {
        EventData::Connected => {}
        EventData::Disconnected { reason } => shown.reason = Some(reason.clone()),
        EventData::Telemetry { subfolder, payload, properties: all } => {
            (shown.subfolder, shown.system_properties) = (Some(subfolder.clone()), system_properties(all));
            (shown.binary_data, shown.properties) = (bytes(payload), Some(properties(all)));
        }
        EventData::State { version, payload } => {
            (shown.version, shown.binary_data) = (Some(Int64(*version)), bytes(payload));
        }
        EventData::CommandSettled { id, status } => {
            (shown.command_id, shown.status) = (Some(id.clone()), Some(*status));
        }
        EventData::Timer { plugin, name, payload, due_ms, late } => {
            (shown.plugin, shown.name) = (Some(plugin.clone()), Some(name.clone()));
            (shown.binary_data, shown.due_time, shown.late) = (bytes(payload), Some(Time(*due_ms)), Some(*late));
        }
        EventData::Topic { topic, payload, properties: all } => {
            shown.topic = Some(topic.clone());
            (shown.binary_data, shown.properties) = (bytes(payload), Some(properties(all)));
        }
    }
    shown
}

/// The system properties of the message.
fn system_properties(properties: &[Property]) -> Option<BTreeMap<String, String>> {
    let of_message =
        properties.iter().filter_map(|(name, value)| Some((name.strip_prefix('$')?.to_owned(), value.clone())));
    Some(of_message.collect::<BTreeMap<_, _>>()).filter(|all| !all.is_empty())
}

/// The application properties of the message.
fn properties(properties: &[Property]) -> Vec<api::Property> {
    properties
        .iter()
        .filter(|(name, _)| !about::is_name(name))
        .map(|(name, value)| api::Property { name: name.clone(), value: value.clone() })
        .collect()
}

/// One execution: an event that one plugin handled.
pub(crate) fn execution(handled: &Handled, names: Names<'_>) -> api::Execution {
    let (outcome, effects, error) = match &handled.outcome {
        Outcome::Done { effects } => {
            (api::Outcome::Done, Some(effects.iter().map(|e| effect(e, names)).collect()), None)
        }
        Outcome::Dead { error, .. } => (api::Outcome::Dead, None, Some(error.clone())),
    };
    let (digest, canary) = digest(&handled.digest);
    api::Execution {
        event: Int64(handled.seq.0),
        plugin: handled.plugin.to_string(),
        digest,
        canary,
        attempt: handled.attempt,
        device: None,
        time: Some(Time(handled.time_ms)),
        took_us: Some(handled.took_us),
        logs: Some(handled.logs.clone()),
        outcome: Some(outcome),
        effects,
        error,
    }
}

fn effect(effect: &Effect, names: Names<'_>) -> api::Effect {
    let device = |num: &DeviceNum| name_or_num(*num, names);
    let bytes = |payload: &bytes::Bytes| Base64(payload.clone());
    match effect {
        Effect::Config { device: num, payload, .. } | Effect::ConfigForced { device: num, payload, .. } => {
            api::Effect::Config { device: device(num), binary_data: bytes(payload) }
        }
        Effect::Command { device: num, id, subfolder, payload, properties: all, .. } => api::Effect::Command {
            device: device(num),
            id: id.clone(),
            subfolder: subfolder.clone(),
            binary_data: bytes(payload),
            properties: properties(all),
            system_properties: system_properties(all),
        },
        Effect::Publish { topic, payload, qos, retain } => {
            api::Effect::Publish { topic: topic.clone(), qos: *qos as u8, retain: *retain, binary_data: bytes(payload) }
        }
        Effect::TimerSet(timer) => api::Effect::Timer(api::Timer {
            name: timer.name.clone(),
            schedule: serde_json::to_value(&timer.schedule).ok(),
            due_time: Some(Time(timer.due_ms)),
            binary_data: Some(bytes(&timer.payload)),
            ..api::Timer::default()
        }),
        Effect::TimerCancel { name } => api::Effect::Timer(cancelled(name)),
        Effect::PatchDesired { device: num, patch, .. } => {
            api::Effect::Desired { device: device(num), patch: String::from_utf8_lossy(patch).into_owned() }
        }
        Effect::Kv(write) => api::Effect::State {
            key: write.key.clone(),
            revision: Int64(write.revision),
            deleted: write.value.is_none(),
        },
    }
}

pub(super) fn cancelled(name: &str) -> api::Timer {
    api::Timer { name: name.to_owned(), cancelled: Some(true), ..api::Timer::default() }
}

/// A timer in an explanation.
pub(super) fn timer(timer: &Timer) -> api::Timer {
    let mut shown =
        api::Timer { name: timer.name.clone(), due_time: Some(Time(timer.due_ms)), ..api::Timer::default() };
    match &timer.schedule {
        Schedule::Once | Schedule::After { .. } | Schedule::Start => {}
        Schedule::Every { period_ms } => shown.every_ms = Some(*period_ms),
        Schedule::Cron { expression, time_zone } => {
            shown.cron = Some(api::Cron { expression: expression.clone(), time_zone: time_zone.clone() });
        }
    }
    shown
}

pub(crate) fn dead_letter(dead_letter: &DeadLetter, names: Names<'_>) -> api::DeadLetter {
    let (digest, canary) = digest(&dead_letter.digest);
    api::DeadLetter {
        id: Int64(dead_letter.id),
        plugin: dead_letter.plugin.to_string(),
        digest,
        canary,
        attempt: dead_letter.attempt,
        time: Time(dead_letter.time_ms),
        error: dead_letter.error.clone(),
        logs: dead_letter.logs.clone(),
        event: event(&dead_letter.event, names),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use switchbox_model::Seq;

    #[test]
    fn an_event_of_a_device_that_is_gone_still_says_which_it_was() {
        let data = EventData::Telemetry { subfolder: "a".into(), payload: "x".into(), properties: vec![] };
        let happened = Event { seq: Seq(5), time_ms: 0, device: Some(DeviceNum(9)), durable: true, data };
        let shown = serde_json::to_value(event(&happened, &|_| None)).unwrap();
        assert_eq!(
            shown,
            json!({"id": "5", "time": "1970-01-01T00:00:00.000Z", "kind": "telemetry", "durable": true,
                   "deviceNumId": "4611686018427387913", "subfolder": "a", "binaryData": "eA==", "properties": []})
        );
    }
}
