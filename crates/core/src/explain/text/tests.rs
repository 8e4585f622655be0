//! Chains and the texts that they become.

use super::*;
use switchbox_model::{Cause, DeadLetter, Handled, HeldBack, KvWrite, PluginName, RegistryName, Seq};
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
    Cause::Api { who: "admin-token".into() }
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
        num: 1,
        ttl_ms: 0,
        expires_ms: None,
        verdict: None,
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
fn an_event_shows_every_plugin_and_what_came_of_it() {
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
}

#[test]
fn every_kind_of_step_has_its_words() {
    let letter = DeadLetter {
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
    let mut cut = handled(1, done());
    cut.took_us = 12_345;
    let record = ExecutionStep { record: None, ..cut.clone().into() };
    let kv = |value: Option<&'static str>| {
        Step::Kv(KvWrite { key: "count".into(), value: value.map(Into::into), revision: 2 })
    };
    let mut unchanged = config(1, 7, None, 7);
    if let Step::Config(config) = &mut unchanged {
        config.unchanged = true;
    }
    let state = EventData::State { version: 3, payload: "on".into() };
    let topic = EventData::Topic { topic: "a/b".into(), payload: "on".into(), properties: vec![] };
    let folder = EventData::Telemetry { subfolder: "light".into(), payload: "on".into(), properties: vec![] };
    let timer = |late| EventData::Timer {
        plugin: "wake".into(),
        name: "noon".into(),
        payload: "".into(),
        due_ms: TIME_MS,
        late,
    };
    let start = EventData::Timer {
        plugin: "wake".into(),
        name: "$start".into(),
        payload: "".into(),
        due_ms: TIME_MS,
        late: false,
    };
    let set = |schedule| {
        Step::TimerSet(Box::new(Timer { name: "noon".into(), schedule, payload: "".into(), due_ms: TIME_MS }))
    };
    let cron = Schedule::Cron { expression: "0 12 * * *".into(), time_zone: "Europe/Berlin".into() };
    let acknowledged = EventData::CommandSettled { id: "42.wake.0".into(), status: CommandStatus::Acknowledged };
    let settled = EventData::CommandSettled { id: "42.wake.0".into(), status: CommandStatus::Expired };
    let at = "at 2026-10-19 10:02:03.114 UTC (event 42)";
    for (step, expected) in [
        (event(0, EventData::Connected), format!("switch-1 connected {at}")),
        (event(0, EventData::Disconnected { reason: "keep-alive".into() }), format!("switch-1 disconnected (keep-alive) {at}")),
        (event(0, state), format!("switch-1 reported state 3, on, {at}")),
        (event(0, folder), format!("switch-1 sent on on light {at}")),
        (event(0, topic), format!("on was published on a/b {at}")),
        (event(0, timer(false)), format!("timer \"noon\" of plugin wake fired {at}")),
        (event(0, timer(true)), format!("timer \"noon\" of plugin wake fired, late, {at}")),
        (event(0, start), format!("plugin wake was new, or its component or settings changed, {at}")),
        (event(1, settled), format!("command 42.wake.0 of lamp-1 expired {at}")),
        (event(1, acknowledged), format!("command 42.wake.0 of lamp-1 was acknowledged {at}")),
        (set(Schedule::Once), "timer \"noon\" set for 2026-10-19 10:02:03.114 UTC".into()),
        (set(Schedule::Every { period_ms: 5_000 }), "timer \"noon\" set for every 5.0 s, first at 2026-10-19 10:02:03.114 UTC".into()),
        (set(cron), "timer \"noon\" set for 0 12 * * * in Europe/Berlin, first at 2026-10-19 10:02:03.114 UTC".into()),
        (Step::TimerCancelled { name: "noon".into() }, "timer \"noon\" cancelled".into()),
        (Step::Operator { who: "admin-token".into() }, "an operator (admin-token) called the admin API".into()),
        (Step::Execution(Box::new(record)), "plugin wake (sha256:ab12cd34ef56…, execution 42.wake)".into()),
        (Step::Execution(Box::new(cut.into())), "plugin wake (sha256:ab12cd34ef56…, execution 42.wake, 12 ms) → it wanted nothing to happen".into()),
        (config(1, 7, None, 9), "config version 7 for lamp-1: {\"state\":\"awake\"} → replaced by version 8 before the device acknowledged it".into()),
        (unchanged, "config version 7 for lamp-1: {\"state\":\"awake\"} → in force already, so nothing changed".into()),
        (Step::NothingToPatch { device: DeviceNum(1) }, "a patch for lamp-1, which has no config, and nothing in it to change".into()),
        (command(CommandStatus::Queued, TIME_MS), "command api.7 for hall/lamp-2 on light: blink → queued".into()),
        (command(CommandStatus::Sent, TIME_MS + 2), "command api.7 for hall/lamp-2 on light: blink → sent 2 ms later, not acknowledged yet".into()),
        (command(CommandStatus::Acknowledged, TIME_MS + 5), "command api.7 for hall/lamp-2 on light: blink → sent → acknowledged 5 ms later".into()),
        (command(CommandStatus::Expired, TIME_MS + 60_000), "command api.7 for hall/lamp-2 on light: blink → expired 60.0 s later".into()),
        (call(CallResult::Answered { status: 200, payload: "ok".into() }), "method blink of lamp-1 called with 3 at 2026-10-19 10:02:03.114 UTC (42.wake.m0) → answered 200 ok after 12 ms".into()),
        (call(CallResult::Failed("it is offline".into())), "method blink of lamp-1 called with 3 at 2026-10-19 10:02:03.114 UTC (42.wake.m0) → no answer after 12 ms: it is offline".into()),
        (kv(Some("2")), "key \"count\" of its own state set to 2".into()),
        (
            Step::Published { topic: "a/b".into(), payload: "on".into() },
            "on published on a/b".into(),
        ),
        (kv(None), "key \"count\" of its own state deleted".into()),
        (Step::DeadLetter(Box::new(letter)), "plugin wake (sha256:ab, try 5) failed: no JSON → dead letter 3".into()),
        (Step::Refused, "nothing of it: what it was made on had changed meanwhile, and the event was tried again".into()),
        (Step::Earlier, "(it began earlier; explain the first event below to go on)".into()),
        (Step::Gone(Gone::Event(Seq(42))), "event 42, which is no longer kept".into()),
        (Step::Gone(Gone::Execution { seq: Seq(42), plugin: PluginName::new("wake").unwrap() }), "what plugin wake made of event 42, which is no longer kept".into()),
        (Step::Gone(Gone::Command { device: DeviceNum(1), id: "42.wake.0".into() }), "command 42.wake.0 for lamp-1, which is no longer kept".into()),
    ] {
        let kind = format!("{step:?}");
        let shown = text(vec![Step::Operator { who: "x".into() }], vec![step.into()]);
        let line = shown.lines().nth(1).unwrap();
        let line = line.strip_suffix(" → no plugin has handled it").unwrap_or(line);
        assert_eq!(line, format!("→ {expected}"), "{kind}");
    }
}
