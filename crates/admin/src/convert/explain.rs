//! Explanations as the API shows them.

use super::history::{self, Names, name_or_num};
use switchbox_admin_api::{self as api, Base64, Int64, Time};
use switchbox_core::explain::{Branch, ConfigOutcome, ConfigStep, ExecutionStep, Gone, Step};
use switchbox_model::{CallRecord, CallResult};

pub(crate) fn chain(steps: &[Step], names: Names<'_>) -> Vec<api::Step> {
    steps.iter().map(|step| self::step(step, names)).collect()
}

pub(crate) fn branches(branches: &[Branch], names: Names<'_>) -> Vec<api::Branch> {
    let shown = |branch: &Branch| api::Branch {
        step: step(&branch.step, names),
        branches: self::branches(&branch.branches, names),
    };
    branches.iter().map(shown).collect()
}

fn step(step: &Step, names: Names<'_>) -> api::Step {
    match step {
        Step::Event(event) => api::Step::Event(Box::new(history::event(event, names))),
        Step::Operator { caller } => api::Step::Operator { caller: caller.clone() },
        Step::Execution(execution) => api::Step::Execution(Box::new(self::execution(execution, names))),
        Step::HeldBack(held) => api::Step::HeldBack(api::HeldBack { ms: held.held_ms, why: held.why.clone() }),
        Step::WaitsForApproval(pending) => api::Step::WaitsForApproval(api::WaitsForApproval {
            id: format!("{}.{}", pending.seq, pending.plugin),
            since: Time(pending.since_ms),
            why: pending.why.clone(),
            effect_count: pending.effects,
        }),
        Step::Config(config) => api::Step::Config(Box::new(self::config(config, names))),
        Step::NothingToPatch { device } => api::Step::Config(Box::new(api::DeviceConfig {
            version: Some(Int64(0)),
            unchanged: Some(true),
            device: Some(name_or_num(*device, names)),
            ..api::DeviceConfig::default()
        })),
        Step::Command(command) => api::Step::Command(Box::new(api::Command {
            device: Some(name_or_num(command.device, names)),
            ..history::command(names(command.device).as_ref(), command)
        })),
        Step::Call(call) => api::Step::MethodCall(Box::new(self::call(call, names))),
        Step::Kv(write) => {
            api::Step::State { key: write.key.clone(), revision: Int64(write.revision), deleted: write.value.is_none() }
        }
        Step::TimerSet(timer) => api::Step::Timer(Box::new(history::timer(timer))),
        Step::TimerCancelled { name } => api::Step::Timer(Box::new(history::cancelled(name))),
        Step::Published { topic, payload } => {
            api::Step::Publish { topic: topic.clone(), binary_data: Base64(payload.clone()) }
        }
        Step::DeadLetter(dead_letter) => api::Step::DeadLetter(Box::new(history::dead_letter(dead_letter, names))),
        Step::Refused => api::Step::Refused(true),
        Step::EarlierNotShown => api::Step::Earlier(true),
        Step::Gone(gone) => api::Step::Gone(self::gone(gone, names)),
    }
}

fn gone(gone: &Gone, names: Names<'_>) -> api::Gone {
    let of = |kind: &str| api::Gone { kind: Some(kind.to_owned()), ..api::Gone::default() };
    match gone {
        Gone::Event(seq) => api::Gone { event: Some(Int64(seq.0)), ..api::Gone::default() },
        Gone::Execution { seq, plugin } => {
            api::Gone { event: Some(Int64(seq.0)), plugin: Some(plugin.to_string()), ..of("execution") }
        }
        Gone::Config { device } => api::Gone { device: Some(name_or_num(*device, names)), ..of("config") },
        Gone::Command { device, id } => {
            api::Gone { device: Some(name_or_num(*device, names)), id: Some(id.clone()), ..of("command") }
        }
    }
}

fn execution(step: &ExecutionStep, names: Names<'_>) -> api::Execution {
    match &step.record {
        Some(record) => history::execution(record, names),
        None => {
            let (digest, canary) = history::digest(&step.digest);
            api::Execution {
                device: None,
                event: Int64(step.seq.0),
                plugin: step.plugin.to_string(),
                digest,
                canary,
                attempt: step.attempt,
                time: None,
                took_us: None,
                logs: None,
                outcome: None,
                effects: None,
                error: None,
            }
        }
    }
}

fn config(step: &ConfigStep, names: Names<'_>) -> api::DeviceConfig {
    let outcome = match step.outcome {
        ConfigOutcome::Acknowledged { .. } => api::Fate::Acknowledged,
        ConfigOutcome::Waiting => api::Fate::Waiting,
        ConfigOutcome::Superseded { .. } => api::Fate::Superseded,
    };
    api::DeviceConfig {
        device: Some(name_or_num(step.version.device, names)),
        fate: Some(outcome),
        unchanged: step.unchanged.then_some(true),
        ..history::config(&step.version)
    }
}

pub(crate) fn call(call: &CallRecord, names: Names<'_>) -> api::MethodCall {
    let (answer, error) = match &call.result {
        CallResult::Answered { status, payload } => {
            (Some(api::CallAnswer { status: *status, payload: Base64(payload.clone()) }), None)
        }
        CallResult::Failed(why) => (None, Some(why.clone())),
    };
    api::MethodCall {
        id: call.id.clone(),
        device: name_or_num(call.device, names),
        method: call.method.clone(),
        payload: Base64(call.request.clone()),
        time: Time(call.time_ms),
        took_ms: call.took_ms,
        cause: history::cause(&call.cause),
        answer,
        error,
        event_device: None,
    }
}
