//! Chains and the texts that they become.

use super::*;
use switchbox_model::{
    Cause, DeadLetter, DeviceName, DeviceNum, Handled, HeldBack, KvWrite, PluginName, RegistryName, Seq,
};
use switchbox_store::ConfigVersion;

const TIME_MS: u64 = 1_792_404_123_114;

fn names(num: DeviceNum) -> Option<DeviceName> {
    let id = ["switch-1", "lamp-1", "hall/lamp-2"].get(usize::try_from(num.0).ok()?)?;
    DeviceName::parse(id, &RegistryName::default_registry()).ok()
}

fn event(device: u64, data: EventData) -> Step {
    let event = Event { seq: Seq(42), time_ms: TIME_MS, device: Some(DeviceNum(device)), durable: true, data };
    Step::Event(Box::new(event))
}

fn sent(payload: &'static str) -> Step {
    event(0, EventData::Telemetry { subfolder: String::new(), payload: payload.into(), properties: vec![] })
}

fn handled(attempt: u32, outcome: Outcome) -> Handled {
    Handled {
        plugin: PluginName::new("wake").unwrap(),
        digest: "sha256:ab12cd34ef56ab12cd34ef56".into(),
        seq: Seq(42),
        attempt,
        time_ms: TIME_MS,
        took_us: 41,
        logs: vec![],
        outcome,
    }
}

fn execution(attempt: u32, outcome: Outcome) -> Step {
    Step::Execution(Box::new(handled(attempt, outcome).into()))
}

fn done() -> Outcome {
    Outcome::Done { effects: vec![] }
}

fn cause() -> Cause {
    Cause::Api { caller: "admin-token".into() }
}

fn config(device: u64, version: u64, acknowledged_ms: Option<u64>, newest: u64) -> Step {
    let payload = r#"{"state":"awake"}"#.into();
    let device = DeviceNum(device);
    let version = ConfigVersion { device, version, time_ms: TIME_MS, payload, cause: cause(), acknowledged_ms };
    Step::Config(Box::new(ConfigStep::new(version, newest)))
}

fn command(status: CommandStatus, changed_ms: u64) -> Step {
    Step::Command(Box::new(CommandDoc {
        device: DeviceNum(2),
        id: "api.7".into(),
        subfolder: "light".into(),
        payload: "blink".into(),
        properties: Vec::new(),
        num: 1,
        ttl_ms: 0,
        expires_ms: None,
        status_at_deadline: None,
        status,
        created_ms: TIME_MS,
        sent_ms: (status == CommandStatus::Sent).then_some(changed_ms),
        settled_ms: status.is_final().then_some(changed_ms),
        cause: cause(),
    }))
}

fn call(result: CallResult) -> Step {
    Step::Call(Box::new(CallRecord {
        id: "42.wake.m0".into(),
        cause: cause(),
        device: DeviceNum(1),
        method: "blink".into(),
        request: "3".into(),
        time_ms: TIME_MS,
        took_ms: 12,
        result,
    }))
}

fn text(chain: Vec<Step>, branches: Vec<Branch>) -> String {
    render(&Explanation { chain, branches, cut: false }, &names)
}

#[test]
fn the_chain_to_a_config_reads_from_its_beginning() {
    let chain = vec![sent(r#"{"state":"awake"}"#), execution(1, done()), config(1, 7, Some(TIME_MS + 12), 7)];
    assert_eq!(
        text(chain, vec![]),
        "switch-1 sent {\"state\":\"awake\"} at 2026-10-19 10:02:03.114 UTC (event 42)\n\
         → plugin wake (sha256:ab12cd34ef56…, execution 42.wake, 41 µs)\n\
         → config version 7 for lamp-1: {\"state\":\"awake\"} → sent → acknowledged 12 ms later\n"
    );
}

#[test]
fn a_canary_is_told_apart_from_the_version_in_force_with_the_same_component() {
    let handled = handled(1, done());
    let digest = JournaledDigest::of_canary(&handled.digest);
    let by_canary = Step::Execution(Box::new(Handled { digest, ..handled }.into()));
    let text = text(vec![sent("x"), by_canary], vec![]);
    assert!(text.contains("→ plugin wake (canary sha256:ab12cd34ef56…, execution 42.wake, 41 µs)"), "{text}");
}

#[test]
fn time_that_a_rate_held_back_is_a_step_of_its_own() {
    let held = HeldBack {
        plugin: PluginName::new("wake").unwrap(),
        seq: Seq(42),
        attempt: 1,
        held_ms: 1_200,
        why: "limits.rate-per-target: lamp-1 gets more than 1/s from this plugin".into(),
    };
    let chain =
        vec![sent("x"), execution(1, done()), Step::HeldBack(Box::new(held)), config(1, 7, Some(TIME_MS + 12), 7)];
    let text = text(chain, vec![]);
    assert!(
        text.contains(
            "\n→ held back for 1.2 s by limits.rate-per-target: lamp-1 gets more than 1/s from this plugin\n→ config version 7"
        ),
        "{text}"
    );
}

#[test]
fn an_event_shows_every_plugin_and_its_effects() {
    let mut wakes = Branch::from(execution(2, done()));
    wakes.branches = vec![config(1, 7, None, 7).into(), Step::Gone(Gone::Config { device: DeviceNum(9) }).into()];
    let dead = Outcome::Dead {
        error: "no JSON".into(),
        event: Box::new(match sent("x") {
            Step::Event(event) => *event,
            _ => unreachable!(),
        }),
    };
    let branches = vec![wakes, execution(1, done()).into(), execution(5, dead).into()];
    assert_eq!(
        text(vec![sent("x")], branches),
        "switch-1 sent x at 2026-10-19 10:02:03.114 UTC (event 42)\n\
         → plugin wake (sha256:ab12cd34ef56…, execution 42.wake, try 2, 41 µs)\n\
         \u{20} → config version 7 for lamp-1: {\"state\":\"awake\"} → waits for the device to acknowledge it\n\
         \u{20} → a config for a device that is gone (number 9), which is no longer kept\n\
         → plugin wake (sha256:ab12cd34ef56…, execution 42.wake, 41 µs) → it wanted nothing to happen\n\
         → plugin wake (sha256:ab12cd34ef56…, execution 42.wake, try 5, 41 µs) failed: no JSON → to the dead letters\n"
    );
    assert!(text(vec![sent("x")], vec![]).ends_with("(event 42)\n→ no plugin has handled it\n"));
    let pending = PendingApproval {
        seq: Seq(42),
        plugin: PluginName::new("wake").unwrap(),
        since_ms: TIME_MS,
        why: "limits.max-targets-per-event: 3 targets; up to 2 need no approval".into(),
        effects: 4,
    };
    let waits = "→ plugin wake handled it, and its effects (4) wait for approval since 2026-10-19 10:02:03.114 UTC: limits.max-targets-per-event: 3 targets; up to 2 need no approval; `switchbox approvals show 42.wake`\n";
    let shown = text(vec![sent("x")], vec![Step::WaitsForApproval(Box::new(pending.clone())).into()]);
    assert!(shown.ends_with(waits) && !shown.contains("no plugin"), "{shown}");
    assert!(text(vec![sent("x"), Step::WaitsForApproval(Box::new(pending))], vec![]).ends_with(waits));
}

/// Each step as the second link of a chain.
fn assert_shown<const N: usize>(steps: [(Step, String); N]) {
    for (step, expected) in steps {
        let kind = format!("{step:?}");
        let shown = text(vec![Step::Operator { caller: "x".into() }], vec![step.into()]);
        let line = shown.lines().nth(1).unwrap();
        let line = line.strip_suffix(" → no plugin has handled it").unwrap_or(line);
        assert_eq!(line, format!("→ {expected}"), "{kind}");
    }
}

#[test]
fn what_a_device_did_has_its_words() {
    let state = EventData::State { version: 3, payload: "on".into() };
    let topic = EventData::Topic { topic: "a/b".into(), payload: "on".into(), properties: vec![] };
    let folder = EventData::Telemetry { subfolder: "light".into(), payload: "on".into(), properties: vec![] };
    let gone = EventData::Disconnected { reason: "keep-alive".into() };
    let settled = |status| EventData::CommandSettled { id: "42.wake.0".into(), status };
    let at = "at 2026-10-19 10:02:03.114 UTC (event 42)";
    assert_shown([
        (event(0, EventData::Connected), format!("switch-1 connected {at}")),
        (event(0, gone), format!("switch-1 disconnected (keep-alive) {at}")),
        (event(0, state), format!("switch-1 reported state 3, on, {at}")),
        (event(0, folder), format!("switch-1 sent on on light {at}")),
        (event(0, topic), format!("on was published on a/b {at}")),
        (event(1, settled(CommandStatus::Expired)), format!("command 42.wake.0 of lamp-1 expired {at}")),
        (event(1, settled(CommandStatus::Acknowledged)), format!("command 42.wake.0 of lamp-1 was acknowledged {at}")),
    ]);
}

#[test]
fn timers_have_their_words() {
    let timer = |name: &str, late| EventData::Timer {
        plugin: "wake".into(),
        name: name.into(),
        payload: "".into(),
        due_ms: TIME_MS,
        late,
    };
    let set = |schedule| {
        Step::TimerSet(Box::new(Timer { name: "noon".into(), schedule, payload: "".into(), due_ms: TIME_MS }))
    };
    let cron = Schedule::Cron { expression: "0 12 * * *".into(), time_zone: "Europe/Berlin".into() };
    let time = "2026-10-19 10:02:03.114 UTC";
    let at = format!("at {time} (event 42)");
    assert_shown([
        (event(0, timer("noon", false)), format!("timer \"noon\" of plugin wake fired {at}")),
        (event(0, timer("noon", true)), format!("timer \"noon\" of plugin wake fired, late, {at}")),
        (event(0, timer("$start", false)), format!("plugin wake was new, or its component or settings changed, {at}")),
        (set(Schedule::Once), format!("timer \"noon\" set for {time}")),
        (set(Schedule::Every { period_ms: 5_000 }), format!("timer \"noon\" set for every 5.0 s, first at {time}")),
        (set(cron), format!("timer \"noon\" set for 0 12 * * * in Europe/Berlin, first at {time}")),
        (Step::TimerCancelled { name: "noon".into() }, "timer \"noon\" cancelled".into()),
    ]);
}

#[test]
fn what_was_delivered_has_its_words() {
    let mut unchanged = config(1, 7, None, 7);
    if let Step::Config(config) = &mut unchanged {
        config.unchanged = true;
    }
    let state = r#"config version 7 for lamp-1: {"state":"awake"}"#;
    let blink = "command api.7 for hall/lamp-2 on light: blink";
    let method = "method blink of lamp-1 called with 3 at 2026-10-19 10:02:03.114 UTC (42.wake.m0)";
    let answered = CallResult::Answered { status: 200, payload: "ok".into() };
    assert_shown([
        (config(1, 7, None, 9), format!("{state} → replaced by version 8 before the device acknowledged it")),
        (unchanged, format!("{state} → in force already, so nothing changed")),
        (
            Step::NothingToPatch { device: DeviceNum(1) },
            "a patch for lamp-1, which has no config, and nothing in it to change".into(),
        ),
        (command(CommandStatus::Queued, TIME_MS), format!("{blink} → queued")),
        (command(CommandStatus::Sent, TIME_MS + 2), format!("{blink} → sent 2 ms later, not acknowledged yet")),
        (command(CommandStatus::Acknowledged, TIME_MS + 5), format!("{blink} → sent → acknowledged 5 ms later")),
        (command(CommandStatus::Expired, TIME_MS + 60_000), format!("{blink} → expired 60.0 s later")),
        (call(answered), format!("{method} → answered 200 ok after 12 ms")),
        (call(CallResult::Failed("it is offline".into())), format!("{method} → no answer after 12 ms: it is offline")),
        (Step::Published { topic: "a/b".into(), payload: "on".into() }, "on published on a/b".into()),
    ]);
}

#[test]
fn what_a_plugin_made_of_an_event_has_its_words() {
    let dead_letter = DeadLetter {
        id: 3,
        plugin: PluginName::new("wake").unwrap(),
        digest: "sha256:ab".into(),
        attempt: 5,
        time_ms: TIME_MS,
        error: "no JSON".into(),
        logs: vec![],
        event: match sent("x") {
            Step::Event(event) => *event,
            _ => unreachable!(),
        },
    };
    let mut slow = handled(1, done());
    slow.took_us = 12_345;
    let record = ExecutionStep { record: None, ..slow.clone().into() };
    let kv = |value: Option<&'static str>| {
        Step::Kv(KvWrite { key: "count".into(), value: value.map(Into::into), revision: 2 })
    };
    let execution = "plugin wake (sha256:ab12cd34ef56…, execution 42.wake";
    assert_shown([
        (Step::Execution(Box::new(record)), format!("{execution})")),
        (Step::Execution(Box::new(slow.into())), format!("{execution}, 12 ms) → it wanted nothing to happen")),
        (kv(Some("2")), "key \"count\" of its own state set to 2".into()),
        (kv(None), "key \"count\" of its own state deleted".into()),
        (
            Step::DeadLetter(Box::new(dead_letter)),
            "plugin wake (sha256:ab, try 5) failed: no JSON → dead letter 3".into(),
        ),
        (
            Step::Refused,
            "nothing of it: what it was made on had changed meanwhile, and the event was tried again".into(),
        ),
    ]);
}

#[test]
fn where_a_chain_begins_or_ends_has_its_words() {
    let wake = PluginName::new("wake").unwrap();
    let command = Gone::Command { device: DeviceNum(1), id: "42.wake.0".into() };
    assert_shown([
        (Step::Operator { caller: "admin-token".into() }, "an operator (admin-token) called the admin API".into()),
        (Step::EarlierNotShown, "(it began earlier; run explain on the first event below)".into()),
        (Step::Gone(Gone::Event(Seq(42))), "event 42, which is no longer kept".into()),
        (
            Step::Gone(Gone::Execution { seq: Seq(42), plugin: wake }),
            "the execution of event 42 by plugin wake, which is no longer kept".into(),
        ),
        (Step::Gone(command), "command 42.wake.0 for lamp-1, which is no longer kept".into()),
    ]);
}
