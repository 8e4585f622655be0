//! Explanations as the API shows them: each step under the name of its kind, in the shape that it has elsewhere in the API.

use serde_json::{Value, json};

use super::{
    Base64,
    history::{self, Names},
};
use switchbox_core::explain::{Branch, ConfigFate, ConfigStep, ExecutionStep, Gone, Step};
use switchbox_model::{
    CallRecord, CallResult, DeviceNum,
    timer::{Schedule, Timer},
};
use switchbox_support::clock;

pub(crate) fn branches(branches: &[Branch], names: Names<'_>) -> Value {
    let shown = branches.iter().map(|branch| {
        let mut shown = step(&branch.step, names);
        if let Some(fields) = shown.as_object_mut().filter(|_| !branch.branches.is_empty()) {
            fields.insert("branches".into(), self::branches(&branch.branches, names));
        }
        shown
    });
    shown.collect()
}

pub(crate) fn step(step: &Step, names: Names<'_>) -> Value {
    match step {
        Step::Event(event) => json!({"event": history::event(event, names)}),
        Step::Operator { who } => json!({"operator": {"who": who}}),
        Step::Execution(execution) => json!({"execution": self::execution(execution, names)}),
        Step::HeldBack(held) => json!({"heldBack": {"ms": held.held_ms, "why": held.why}}),
        Step::Config(config) => json!({"config": self::config(config, names)}),
        Step::NothingToPatch { device } => {
            json!({"config": with_device(json!({"version": "0", "unchanged": true}), *device, names)})
        }
        Step::Command(command) => {
            let name = names(command.device);
            json!({"command": with_device(history::command(name.as_ref(), command), command.device, names)})
        }
        Step::Call(call) => json!({"methodCall": self::call(call, names)}),
        Step::Kv(write) => json!({"state": {
            "key": write.key, "revision": write.revision.to_string(), "deleted": write.value.is_none(),
        }}),
        Step::TimerSet(timer) => json!({"timer": self::timer(timer)}),
        Step::TimerCancelled { name } => json!({"timer": {"name": name, "cancelled": true}}),
        Step::Published { topic, payload } => {
            json!({"publish": {"topic": topic, "binaryData": Base64::encode(payload)}})
        }
        Step::DeadLetter(letter) => json!({"deadLetter": history::dead_letter(letter, names)}),
        Step::Refused => json!({"refused": true}),
        Step::Earlier => json!({"earlier": true}),
        Step::Gone(Gone::Event(seq)) => json!({"gone": {"event": seq.to_string()}}),
        Step::Gone(Gone::Execution { seq, plugin }) => {
            json!({"gone": {"kind": "execution", "event": seq.to_string(), "plugin": plugin.as_str()}})
        }
        Step::Gone(Gone::Config { device }) => json!({"gone": with_device(json!({"kind": "config"}), *device, names)}),
        Step::Gone(Gone::Command { device, id }) => {
            json!({"gone": with_device(json!({"kind": "command", "id": id}), *device, names)})
        }
    }
}

fn with_device(mut shown: Value, num: DeviceNum, names: Names<'_>) -> Value {
    if let Some(fields) = shown.as_object_mut() {
        fields.insert(
            "device".into(),
            names(num).map_or_else(|| num.num_id().to_string(), |name| name.to_string()).into(),
        );
    }
    shown
}

fn timer(timer: &Timer) -> Value {
    let mut shown = json!({"name": timer.name, "dueTime": clock::rfc3339(timer.due_ms)});
    let (field, value) = match &timer.schedule {
        Schedule::Once | Schedule::After { .. } | Schedule::Start => return shown,
        Schedule::Every { period_ms } => ("everyMs", json!(period_ms)),
        Schedule::Cron { expression, time_zone } => ("cron", json!({"expression": expression, "timeZone": time_zone})),
    };
    if let Some(fields) = shown.as_object_mut() {
        fields.insert(field.into(), value);
    }
    shown
}

fn execution(step: &ExecutionStep, names: Names<'_>) -> Value {
    match &step.record {
        Some(record) => history::execution(record, names),
        None => json!({
            "event": step.seq.to_string(),
            "plugin": step.plugin.as_str(),
            "digest": &*step.digest,
            "attempt": step.attempt,
        }),
    }
}

fn config(step: &ConfigStep, names: Names<'_>) -> Value {
    let fate = match step.fate {
        ConfigFate::Acknowledged { .. } => "acknowledged",
        ConfigFate::Waiting => "waiting",
        ConfigFate::Superseded { .. } => "superseded",
    };
    let mut shown = with_device(history::config(&step.version), step.version.device, names);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("fate".into(), fate.into());
        fields.extend(step.unchanged.then(|| ("unchanged".to_owned(), true.into())));
    }
    shown
}

fn call(call: &CallRecord, names: Names<'_>) -> Value {
    let mut shown = with_device(
        json!({
            "id": call.id,
            "method": call.method,
            "payload": Base64::encode(&call.request),
            "time": clock::rfc3339(call.time_ms),
            "tookMs": call.took_ms,
            "cause": history::cause(&call.cause),
        }),
        call.device,
        names,
    );
    let (field, value) = match &call.result {
        CallResult::Answered { status, payload } => {
            ("answer", json!({"status": status, "payload": Base64::encode(payload)}))
        }
        CallResult::Failed(why) => ("error", json!(why)),
    };
    if let Some(fields) = shown.as_object_mut() {
        fields.insert(field.into(), value);
    }
    shown
}
