//! Formats an explanation as text. Pure.

use std::fmt::Write as _;

use super::{
    chain::{
        Branch, ConfigOutcome, ConfigStep, ExecutionStep, Explanation, Gone, PendingApproval, Step, settled_after_ms,
    },
    format::{Names, bytes, name, span, time},
};
use switchbox_model::{
    CallRecord, CallResult, CommandStatus, Event, EventData, JournaledDigest, Outcome,
    timer::{self, Schedule, Timer},
};
use switchbox_store::CommandDoc;
use switchbox_support::terminal;

/// One line for each step; its effects follow, indented.
pub(super) fn render(explanation: &Explanation, names: Names<'_>) -> String {
    let mut text = String::new();
    for (index, step) in explanation.chain.iter().enumerate() {
        let arrow = if index == 0 { "" } else { "→ " };
        let _ = writeln!(text, "{arrow}{}", line(step, names));
    }
    write_branches(&mut text, &explanation.branches, 0, names);
    if explanation.branches.is_empty()
        && let Some(line) = explanation.chain.last().and_then(no_effects_line)
    {
        let _ = writeln!(text, "→ {line}");
    }
    if explanation.cut {
        text.push_str("(the journal is longer; its later part was not searched)\n");
    }
    text
}

/// Writes one line for each branch, and indented lines for its own branches.
fn write_branches(text: &mut String, branches: &[Branch], depth: usize, names: Names<'_>) {
    for branch in branches {
        let _ = write!(text, "{:indent$}→ {}", "", line(&branch.step, names), indent = depth * 2);
        if let (true, Some(line)) = (branch.branches.is_empty(), no_effects_line(&branch.step)) {
            let _ = write!(text, " → {line}");
        }
        text.push('\n');
        write_branches(text, &branch.branches, depth + 1, names);
    }
}

/// What is written if the step has no effects.
fn no_effects_line(step: &Step) -> Option<&'static str> {
    match step {
        Step::Event(_) => Some("no plugin has handled it"),
        Step::Execution(execution) => {
            let is_done =
                execution.record.as_ref().is_some_and(|record| matches!(record.outcome, Outcome::Done { .. }));
            is_done.then_some("it wanted nothing to happen")
        }
        _ => None,
    }
}

/// One line, whatever devices and plugins put into it.
fn line(step: &Step, names: Names<'_>) -> String {
    terminal::line(&step_text(step, names)).into_owned()
}

fn step_text(step: &Step, names: Names<'_>) -> String {
    match step {
        Step::Event(event) => event_line(event, names),
        Step::Operator { caller } => format!("an operator ({caller}) called the admin API"),
        Step::Execution(execution) => execution_line(execution),
        Step::HeldBack(held) => format!("held back for {} by {}", span(held.held_ms), held.why),
        Step::WaitsForApproval(pending) => approval_line(pending),
        Step::Config(config) => config_line(config, names),
        Step::NothingToPatch { device } => {
            format!("a patch for {}, which has no config, and nothing in it to change", name(*device, names))
        }
        Step::Command(command) => command_line(command, names),
        Step::Call(call) => call_line(call, names),
        Step::Kv(write) => match &write.value {
            Some(value) => format!("key {:?} of its own state set to {}", write.key, bytes(value)),
            None => format!("key {:?} of its own state deleted", write.key),
        },
        Step::TimerSet(timer) => timer_line(timer),
        Step::TimerCancelled { name } => format!("timer {name:?} cancelled"),
        Step::Published { topic, payload } => format!("{} published on {topic}", bytes(payload)),
        Step::DeadLetter(dead_letter) => format!(
            "plugin {} ({}, try {}) failed: {} → dead letter {}",
            dead_letter.plugin,
            digest(&dead_letter.digest),
            dead_letter.attempt,
            dead_letter.error,
            dead_letter.id
        ),
        Step::Refused => {
            "nothing of it: what it was made on had changed meanwhile, and the event was tried again".into()
        }
        Step::Gone(gone) => gone_line(gone, names),
        Step::EarlierNotShown => "(it began earlier; run explain on the first event below)".into(),
    }
}

fn gone_line(gone: &Gone, names: Names<'_>) -> String {
    match gone {
        Gone::Event(seq) => format!("event {seq}, which is no longer kept"),
        Gone::Execution { seq, plugin } => {
            format!("the execution of event {seq} by plugin {plugin}, which is no longer kept")
        }
        Gone::Config { device } => format!("a config for {}, which is no longer kept", name(*device, names)),
        Gone::Command { device, id } => format!("command {id} for {}, which is no longer kept", name(*device, names)),
    }
}

fn event_line(event: &Event, names: Names<'_>) -> String {
    let source = || event.device.map_or_else(|| "the host".to_owned(), |num| name(num, names));
    let what = match &event.data {
        EventData::Telemetry { subfolder, payload, .. } if subfolder.is_empty() => {
            format!("{} sent {}", source(), bytes(payload))
        }
        EventData::Telemetry { subfolder, payload, .. } => {
            format!("{} sent {} on {subfolder}", source(), bytes(payload))
        }
        EventData::State { version, payload } => format!("{} reported state {version}, {},", source(), bytes(payload)),
        EventData::Connected => format!("{} connected", source()),
        EventData::Disconnected { reason } => format!("{} disconnected ({reason})", source()),
        EventData::CommandSettled { id, status: CommandStatus::Expired } => {
            format!("command {id} of {} expired", source())
        }
        EventData::CommandSettled { id, status: CommandStatus::SentUnconfirmed } => {
            format!("command {id} of {} was sent to a subscription of QoS 0, which acknowledges nothing", source())
        }
        EventData::CommandSettled { id, status } => format!("command {id} of {} was {}", source(), status.as_str()),
        EventData::Timer { plugin, name, .. } if name == timer::START => {
            format!("plugin {plugin} was new, or its component or settings changed,")
        }
        EventData::Timer { plugin, name, late, .. } => {
            format!("timer {name:?} of plugin {plugin} fired{}", if *late { ", late," } else { "" })
        }
        EventData::Topic { topic, payload, .. } => format!("{} was published on {topic}", bytes(payload)),
    };
    format!("{what} at {} (event {})", time(event.time_ms), event.seq)
}

fn timer_line(timer: &Timer) -> String {
    let (name, due) = (&timer.name, time(timer.due_ms));
    match &timer.schedule {
        Schedule::Once | Schedule::After { .. } | Schedule::Start => format!("timer {name:?} set for {due}"),
        Schedule::Every { period_ms } => format!("timer {name:?} set for every {}, first at {due}", span(*period_ms)),
        Schedule::Cron { expression, time_zone } => {
            format!("timer {name:?} set for {expression} in {time_zone}, first at {due}")
        }
    }
}

/// The beginning of a digest, enough to distinguish it; and whether a canary had it, which may have the component of the version in
/// force.
fn digest(journaled: &str) -> String {
    let JournaledDigest { component, by_canary } = JournaledDigest::parse(journaled);
    let canary = if by_canary { "canary " } else { "" };
    match component.char_indices().nth("sha256:".len() + 12) {
        Some((end, _)) => format!("{canary}{}…", component.get(..end).unwrap_or(component)),
        None => format!("{canary}{component}"),
    }
}

fn execution_line(execution: &ExecutionStep) -> String {
    let ExecutionStep { seq, plugin, attempt, record, .. } = execution;
    let mut text = format!("plugin {plugin} ({}, execution {seq}.{plugin}", digest(&execution.digest));
    if *attempt > 1 {
        let _ = write!(text, ", try {attempt}");
    }
    if let Some(record) = record {
        let _ = write!(text, ", {}", micros(record.took_us));
    }
    text.push(')');
    if let Some(Outcome::Dead { error, .. }) = record.as_ref().map(|record| &record.outcome) {
        let _ = write!(text, " failed: {error} → to the dead letters");
    }
    text
}

fn approval_line(pending: &PendingApproval) -> String {
    let PendingApproval { seq, plugin, since_ms, why, effects } = pending;
    let since = time(*since_ms);
    format!(
        "plugin {plugin} handled it, and its effects ({effects}) wait for approval since {since}: {why}; `switchbox approvals show {seq}.{plugin}`"
    )
}

fn micros(took_us: u32) -> String {
    if took_us < 10_000 { format!("{took_us} µs") } else { span(u64::from(took_us / 1_000)) }
}

fn config_line(config: &ConfigStep, names: Names<'_>) -> String {
    let ConfigStep { version, outcome, unchanged } = config;
    let outcome = match outcome {
        _ if *unchanged => "in force already, so nothing changed".into(),
        ConfigOutcome::Acknowledged { after_ms } => format!("sent → acknowledged {} later", span(*after_ms)),
        ConfigOutcome::Waiting => "waits for the device to acknowledge it".into(),
        ConfigOutcome::Superseded { by } => format!("replaced by version {by} before the device acknowledged it"),
    };
    let device = name(version.device, names);
    format!("config version {} for {device}: {} → {outcome}", version.version, bytes(&version.payload))
}

fn command_line(command: &CommandDoc, names: Names<'_>) -> String {
    let later = settled_after_ms(command).map(|ms| format!(" {} later", span(ms))).unwrap_or_default();
    let outcome = match command.status {
        CommandStatus::Queued => "queued".into(),
        CommandStatus::Sent => format!("sent{later}, not acknowledged yet"),
        CommandStatus::Acknowledged => format!("sent → acknowledged{later}"),
        CommandStatus::SentUnconfirmed => {
            format!("sent once{later}; a subscription of QoS 0 acknowledges nothing")
        }
        CommandStatus::Expired | CommandStatus::Rejected | CommandStatus::Purged => {
            format!("{}{later}", command.status.as_str())
        }
    };
    let folder = if command.subfolder.is_empty() { String::new() } else { format!(" on {}", command.subfolder) };
    format!(
        "command {} for {}{folder}: {} → {outcome}",
        command.id,
        name(command.device, names),
        bytes(&command.payload)
    )
}

fn call_line(call: &CallRecord, names: Names<'_>) -> String {
    let outcome = match &call.result {
        CallResult::Answered { status, payload } => {
            format!("answered {status} {} after {}", bytes(payload), span(call.took_ms))
        }
        CallResult::Failed(why) => format!("no answer after {}: {why}", span(call.took_ms)),
    };
    let (device, request) = (name(call.device, names), bytes(&call.request));
    format!(
        "method {} of {device} called with {request} at {} ({}) → {outcome}",
        call.method,
        time(call.time_ms),
        call.id
    )
}

#[cfg(test)]
mod tests;
