//! Tests of the harness, with a plugin whose actions each test sets.

use std::time::Duration;

use crate::{
    CommandOptions, Disposition, Error, Host, Level, NoSettings, Response, Schedule, TimerFired, TopicMessage,
    prelude::*, testing::Harness,
};

#[derive(Debug, Default)]
struct Obedient;

impl Plugin for Obedient {
    type Settings = NoSettings;

    fn describe(_: &NoSettings) -> Description {
        Description::new("Does as it is told.")
            .on_telemetry_in("boss-*", "orders")
            .on_timer()
            .on_state("lamp-*")
            .may_config("lamp-*")
            .may_command("lamp-*")
            .may_call("lamp-*")
            .may_read("lamp-*")
            .may_publish("alerts/#")
    }

    fn start(_: NoSettings) -> Result<Self, String> {
        Ok(Self)
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        let mut words = event.text()?.split(' ');
        let (order, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        carry_out(order, target, host).map_err(Into::into)
    }

    fn on_timer(&mut self, timer: &TimerFired, _: &Event, host: &Host) -> Outcome {
        Ok(host.publish("alerts/timer", &timer.payload)?)
    }
}

fn carry_out(order: &str, target: &str, host: &Host) -> crate::Result<()> {
    match order {
        "config" => host.set_config_json(target, &json!({"on": true})),
        "config-if-first" => host.set_config_if(target, 0, "first"),
        "patch" => host.patch_desired(target, &json!({"on": null, "dim": 3})),
        "command" => host
            .send_command_with(target, "ring", &CommandOptions { subfolder: "bell".into(), ttl_ms: 500 })
            .map(|_| ()),
        "command-said" => host
            .send_command_with_properties(
                target,
                "ring",
                &CommandOptions { subfolder: String::new(), ttl_ms: 500 },
                &[("$content-type", "text/plain"), ("tone", "high")],
            )
            .map(|_| ()),
        "command-now" => host.send_command(target, "ring").map(|_| ()),
        "call" => {
            let response = host.call_method(target, "blink", "3", Duration::from_secs(1))?;
            host.state().set(target, response.payload)
        }
        "count" => {
            let count: u64 = host.state().get_json("count")?.unwrap_or_default();
            host.state().set_json("count", &(count + 1))
        }
        "count-then-fail" => {
            host.state().set_json("count", &100)?;
            host.set_config("lamp-1", "undone")?;
            host.warn("failing");
            Err(Error::Unavailable("on order".into()))
        }
        "list" => {
            let ids = host.devices("lamp-*").map(|device| Ok(device?.id)).collect::<crate::Result<Vec<_>>>()?;
            host.state().set_json("list", &ids)
        }
        "timer" => host.set_timer("t", &Schedule::After(10), "due"),
        "publish" => host.publish(target, "x"),
        "twin" => {
            let twin = host.twin(target)?;
            let since = twin.differs.first().map(|first| first.since.clone()).unwrap_or_default();
            host.info(format!("{} {} {since}", twin.desired_version, twin.differs.len()));
            Ok(())
        }
        "talk" => {
            (0..target.parse().unwrap_or(0)).for_each(|line: u32| host.info(line.to_string()));
            Ok(())
        }
        _ => Err(Error::Invalid(format!("order {order}"))),
    }
}

fn harness() -> Harness<Obedient> {
    let mut t = Harness::new(json!({})).unwrap();
    t.device("lamp-1").device("pump").offline_device("lamp-2").unsubscribed_device("lamp-3");
    t
}

fn order(t: &mut Harness<Obedient>, text: &str) -> Outcome {
    t.telemetry_in("boss-1", "orders", text)
}

#[test]
fn effects_are_kept_in_order() {
    let mut t = harness();
    for text in ["config lamp-1", "patch lamp-1", "command lamp-2", "timer", "publish alerts/a"] {
        order(&mut t, text).unwrap();
    }
    assert_eq!(t.configs("lamp-1"), [json!({"on": true}), json!({"dim": 3})]);
    let commands = t.commands("lamp-2");
    assert_eq!(commands.len(), 1);
    assert_eq!((commands[0].subfolder.as_str(), commands[0].ttl_ms), ("bell", 500));
    assert_eq!(t.timer("t"), Some(Schedule::After(10)));
    t.fire("t").unwrap();
    assert_eq!(t.timer("t"), None);
    let topics: Vec<_> = t.messages().into_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["alerts/a", "alerts/timer"]);
}

#[test]
fn a_patch_keeps_what_it_does_not_name_and_changes_make_versions() {
    let mut t = harness();
    order(&mut t, "config lamp-1").unwrap();
    order(&mut t, "config lamp-1").unwrap();
    assert_eq!(t.configs("lamp-1").len(), 1);
    let config = r#"{"z": 1.50, "id": 12345678901234567890123, "on": 1}"#;
    t.desire("lamp-1", serde_json::value::RawValue::from_string(config.into()).unwrap());
    order(&mut t, "patch lamp-1").unwrap();
    order(&mut t, "patch lamp-1").unwrap();
    let configs = t.raw_configs("lamp-1");
    assert_eq!(configs.len(), 3);
    assert_eq!(configs[2], br#"{"z": 1.50, "id": 12345678901234567890123,"dim":3}"#);
}

#[test]
fn a_failed_event_leaves_nothing_but_its_log() {
    let mut t = harness();
    order(&mut t, "count").unwrap();
    assert_eq!(order(&mut t, "count-then-fail"), Err(retry("unavailable: on order")));
    assert_eq!(t.state("count"), Some(b"1".into()));
    assert!(t.configs("lamp-1").is_empty());
    assert_eq!(t.logs(), [(Level::Warn, "failing".into())]);
    order(&mut t, "count").unwrap();
    assert_eq!(t.state("count"), Some(b"2".into()));
}

#[test]
fn refusals_are_those_of_the_host() {
    let mut t = harness();
    order(&mut t, "config-if-first lamp-1").unwrap();
    for (text, expected) in [
        ("config-if-first lamp-1", "retry: conflict: version 1 is in force"),
        ("config pump", "reject: denied: "),
        ("config lamp-9", "reject: not found: there is no device "),
        ("config a/b/c", "reject: invalid: "),
        ("command-now lamp-2", "retry: offline: lamp-2 is not connected"),
        ("command-now lamp-3", "retry: offline: lamp-3 does not subscribe to its commands"),
        ("call lamp-3", "retry: offline: lamp-3 does not subscribe to its methods"),
        ("call lamp-1", "retry: timed out: blink on lamp-1 after 1000 ms"),
        ("publish other", "reject: denied: "),
        ("dance", "reject: invalid: order dance"),
    ] {
        let error: Disposition = order(&mut t, text).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn methods_are_answered_by_the_test() {
    let mut t = harness();
    t.answers("lamp-1", "blink", |payload| Response { status: 200, payload: [b"blinked ", payload].concat() });
    order(&mut t, "call lamp-1").unwrap();
    assert_eq!(t.state("lamp-1"), Some(b"blinked 3".into()));
}

#[test]
fn devices_come_page_by_page() {
    let mut t = harness();
    for n in 10..260 {
        t.device(&format!("lamp-{n:03}"));
    }
    order(&mut t, "list").unwrap();
    let ids: Vec<String> = serde_json::from_slice(&t.state("list").unwrap()).unwrap();
    assert_eq!(ids.len(), 253);
    assert!(ids.is_sorted());
}

#[test]
fn settings_are_read_as_the_host_hands_them_over() {
    assert_eq!(
        Harness::<Obedient>::new(json!({"x": 1})).unwrap_err(),
        "settings: unknown field `x`, there are no fields at line 1 column 4"
    );
}

#[test]
#[should_panic(expected = "no trigger of the plugin fits")]
fn an_event_that_the_host_would_not_hand_over_fails_the_test() {
    let _ = harness().telemetry("boss-1", "config lamp-1");
}

/// A plugin with a description that each test sets.
#[derive(Debug)]
struct Described;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Says {
    telemetry: Vec<String>,
    topics: Vec<String>,
    grants: Vec<String>,
}

impl Plugin for Described {
    type Settings = Says;

    fn describe(says: &Says) -> Description {
        let described =
            says.telemetry.iter().fold(Description::new("Says what it is told."), Description::on_telemetry);
        let described = says.topics.iter().fold(described, Description::on_topic);
        says.grants.iter().fold(described, Description::may_config)
    }

    fn start(_: Says) -> Result<Self, String> {
        Ok(Self)
    }

    fn on_topic(&mut self, _: &TopicMessage, _: &Event, _: &Host) -> Outcome {
        Ok(())
    }
}

#[test]
fn a_description_that_the_host_refuses_is_refused() {
    for (settings, error) in [
        (json!({"telemetry": ["["]}), "triggers: \"[\" is not a valid glob"),
        (json!({"telemetry": vec!["*"; 257]}), "triggers: there are 257 triggers; the limit \"triggers\" is 256"),
        (json!({"topics": ["a/#/b"]}), "triggers: \"a/#/b\" is not a topic filter"),
        (json!({"topics": ["$share/group/a"]}), "triggers: \"$share/group/a\" is a shared subscription"),
        (json!({"grants": ["lamp-["]}), "grants: \"lamp-[\" is not a valid glob"),
        (json!({"x": "y".repeat(256 * 1024)}), "settings: "),
    ] {
        let refused = Harness::<Described>::new(settings).unwrap_err();
        assert!(refused.starts_with(error), "{refused}");
    }
}

#[test]
fn triggers_are_matched_as_the_host_matches_them() {
    let mut t = Harness::<Described>::new(json!({"telemetry": ["lamp-*"], "topics": ["#"]})).unwrap();
    assert!(t.sees_telemetry("lamp-1", "light/1"));
    assert!(!t.sees_telemetry("lamp-1", "$file-uploaded"));
    assert!(!t.sees_telemetry("pump", ""));
    // A device is named as plugins name them, and the glob is on its id.
    assert!(t.sees_telemetry("hall/lamp-1", ""));
    // A timer that the plugin has set comes whatever its triggers are; `$start` needs one.
    let timer = |name: &str| EventData::Timer(TimerFired { name: name.into(), payload: vec![], due: 0, late: false });
    assert!(t.sees("", &timer("t")) && !t.sees("", &timer("$start")));
    t.message("alerts/a", "").unwrap();
}

#[test]
fn a_twin_has_times_a_tolerance_and_what_is_kept() {
    let mut t = harness();
    t.metadata("lamp-1", "twin-tolerance", "0.5");
    for version in 0..12 {
        t.at(1_000 * version).desire("lamp-1", json!({"level": 20.0, "version": version}));
    }
    order(&mut t, "twin lamp-1").unwrap();
    assert!(t.state_update("lamp-1", r#"{"level":20.4,"version":0}"#).is_err());
    order(&mut t, "twin lamp-1").unwrap();
    let lines: Vec<_> = t.logs().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["12 2 1970-01-01T00:00:02.000Z", "12 1 1970-01-01T00:00:02.000Z"]);
}

#[test]
fn what_one_event_logs_is_bounded() {
    let mut t = harness();
    order(&mut t, "talk 300").unwrap();
    let logs = t.logs();
    assert_eq!(logs.len(), 257);
    let (level, text) = &logs[256];
    assert!(*level == Level::Warn && text.starts_with("the limit \"log-lines\" (256) is reached"), "{text}");
    order(&mut t, "talk 1").unwrap();
    assert_eq!(t.logs().len(), 258);
}
