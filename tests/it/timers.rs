//! Timers of plugins: each rule is one test, named after it.

mod clock;

use std::fs;

use serde_json::{Value, json};
use switchbox_model::EventData;
use switchbox_support::clock::now_ms;
use switchbox_tests::{Admin, DEPUTY, Device, HostFolder, Journal, Process, deputy, stamped, until};

fn host_folder() -> HostFolder {
    let host_folder = HostFolder::new();
    deputy(&host_folder, "deputy");
    host_folder
}

/// The device to which the guest reports its timers.
fn report(host: &Process) -> Device {
    let mut device = host.device("report");
    device.subscribe_config();
    device
}

fn order(host: &Process, orders: &Value) {
    host.device("boss").event(orders.to_string());
}

/// What was reported of the timer so far.
fn reports(report: &Device, timer: &str) -> Vec<Value> {
    let messages = report.seen().messages.clone();
    let reports = messages.iter().map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap());
    reports.filter(|report| report["timer"] == timer).collect()
}

/// Waits until the timer has been reported this many times.
fn fired(report: &Device, timer: &str, times: usize) -> Vec<Value> {
    until(&format!("{timer} to fire {times} times"), || {
        let reports = reports(report, timer);
        (reports.len() >= times).then_some(reports)
    })
}

/// (name, due, late) of every firing in the journal of a host that was stopped, the host's own too.
fn all_firings(host_folder: &HostFolder) -> Vec<(String, u64, bool)> {
    let (journal, _) = Journal::open(host_folder);
    let of = |data: &EventData| match data {
        EventData::Timer { name, due_ms, late, .. } => Some((name.clone(), *due_ms, *late)),
        _ => None,
    };
    journal.events.iter().filter_map(|event| of(&event.data)).collect()
}

/// Without the host's own.
fn firings(host_folder: &HostFolder) -> Vec<(String, u64, bool)> {
    all_firings(host_folder).into_iter().filter(|(name, ..)| !name.starts_with('$')).collect()
}

fn timers(admin: &Admin, plugin: &str) -> u64 {
    admin.plugin(plugin).unwrap()["timers"]["count"].as_u64().unwrap()
}

#[test]
fn a_timer_comes_back_once_with_its_payload_and_its_time() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let report = report(&host);
    let at = now_ms() + 300;
    order(&host, &json!([{"after": {"timer": "soon", "ms": 200}}, {"at": {"timer": "then", "time_ms": at}}]));
    let soon = &fired(&report, "soon", 1)[0];
    assert_eq!((&soon["count"], &soon["late"], &soon["payload"]), (&json!(1), &json!(false), &json!("soon")));
    assert!(now_ms() >= soon["due"].as_u64().unwrap());
    assert_eq!(fired(&report, "then", 1)[0]["due"], at);
    assert_eq!(timers(&host.admin(), "deputy"), 0);
    drop(report);
    host.stop();
    assert_eq!(firings(&host_folder).len(), 2);
}

#[test]
fn a_repeating_timer_comes_in_order_until_it_is_cancelled() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let report = report(&host);
    order(&host, &json!([{"every": {"timer": "tick", "ms": 100}}]));
    fired(&report, "tick", 5);
    order(&host, &json!([{"cancel": {"timer": "tick"}}, {"after": {"timer": "last", "ms": 500}}]));
    fired(&report, "last", 1);
    let counts: Vec<_> = reports(&report, "tick").iter().map(|report| report["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, (1..=counts.len() as u64).collect::<Vec<_>>());
    host.stop();
    let firings = firings(&host_folder);
    assert_eq!(firings.last().unwrap().0, "last", "it came after it was cancelled: {firings:?}");
    let dues: Vec<_> = firings.iter().filter(|(name, ..)| name == "tick").map(|(_, due, _)| *due).collect();
    assert!(dues.is_sorted_by(|a, b| a < b && (b - a) % 100 == 0), "{dues:?}");
}

#[test]
fn a_timer_of_the_same_name_takes_the_place_of_the_one_before() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let report = report(&host);
    order(&host, &json!([{"after": {"timer": "t", "ms": 3_600_000}}, {"after": {"timer": "u", "ms": 3_600_000}}]));
    order(&host, &json!([{"after": {"timer": "t", "ms": 100}}]));
    fired(&report, "t", 1);
    assert_eq!(timers(&host.admin(), "deputy"), 1);
}

#[test]
fn an_event_that_fails_sets_no_timer() {
    let host_folder = host_folder();
    let host = host_folder.start();
    order(&host, &json!([{"every": {"timer": "tick", "ms": 100}}, "fail"]));
    let dead_letters =
        until("the dead letter", || Some(host.admin().dead_letters()).filter(|dead_letters| !dead_letters.is_empty()));
    assert!(dead_letters[0]["error"].as_str().unwrap().contains("told to fail"));
    assert_eq!(timers(&host.admin(), "deputy"), 0);
    host.stop();
    assert_eq!(firings(&host_folder), []);
}

#[test]
fn what_was_missed_while_the_host_was_down_comes_once_and_late() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let missed = now_ms() + 700;
    order(
        &host,
        &json!([
            {"at": {"timer": "once", "time_ms": missed}},
            {"every": {"timer": "tick", "ms": 100}},
            {"cron": {"timer": "cron", "expression": "* * * * *", "time_zone": "Europe/Berlin"}},
            {"after": {"timer": "not-yet", "ms": 3_600_000}},
        ]),
    );
    until("the timers", || (timers(&host.admin(), "deputy") == 4).then_some(()));
    host.kill();
    until("the time that is missed", || (now_ms() > missed).then_some(()));
    let host = host_folder.start();
    let report = report(&host);
    fired(&report, "tick", 2);
    assert_eq!(timers(&host.admin(), "deputy"), 3);
    drop(report);
    host.stop();
    let firings = firings(&host_folder);
    let of = |requested: &str| firings.iter().filter(|(name, ..)| name == requested).cloned().collect::<Vec<_>>();
    assert_eq!(of("once"), [("once".to_owned(), missed, true)]);
    let ticks = of("tick");
    assert_eq!(ticks.iter().filter(|(_, _, late)| *late).count(), 1, "{ticks:?}");
    assert!(ticks.is_sorted_by(|a, b| a.1 < b.1), "{ticks:?}");
    assert_eq!(of("not-yet"), []);
}

#[test]
fn only_the_plugin_that_set_a_timer_sees_it() {
    let host_folder = host_folder();
    deputy(&host_folder, "other");
    let host = host_folder.start();
    let admin = host.admin();
    // Both see the order, so each has one of its own.
    order(&host, &json!([{"after": {"timer": "t", "ms": 100}}]));
    until("t to fire twice", || {
        let events = admin.get("/v1/events?kind=timer").ok()["events"].take();
        (events.as_array()?.iter().filter(|event| event["name"] == "t").count() == 2).then_some(())
    });
    host.stop();
    let (journal, _) = Journal::open(&host_folder);
    for (event, owner) in journal.events.iter().filter_map(|event| match &event.data {
        EventData::Timer { plugin, .. } => Some((event, plugin.clone())),
        _ => None,
    }) {
        for plugin in ["deputy", "other"] {
            assert_eq!(journal.executions_of(plugin).contains_key(&event.seq), plugin == owner, "{plugin} {event:?}");
        }
    }
}

#[test]
fn timers_stay_when_the_component_is_replaced_or_the_files_are_away() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    order(&host, &json!([{"after": {"timer": "t", "ms": 3_600_000}}]));
    until("the timer", || (timers(&admin, "deputy") == 1).then_some(()));
    let before = admin.plugin("deputy").unwrap()["digest"].clone();
    let two = stamped(&fs::read(DEPUTY).unwrap(), "another");
    host_folder.plugin("deputy.wasm", &two);
    admin.wait_plugin("deputy", "in another version", |plugin| plugin["digest"] != before);
    assert_eq!(timers(&admin, "deputy"), 1);
    remove(&host_folder, &admin);
    host_folder.plugin("deputy.wasm", &two);
    admin.wait_plugin("deputy", "back", |plugin| plugin["state"] == "running");
    assert_eq!(timers(&admin, "deputy"), 1, "its files were away for a moment");
    remove(&host_folder, &admin);
    host.stop();
    let host = host_folder.start();
    let admin = host.admin();
    // What comes is another component: it is another plugin.
    host_folder.plugin("deputy.wasm", fs::read(DEPUTY).unwrap());
    admin.wait_plugin("deputy", "another one", |plugin| plugin["state"] == "running");
    assert_eq!(timers(&admin, "deputy"), 0);
    host.logged(&["deputy", "is another plugin than"]);
}

fn remove(host_folder: &HostFolder, admin: &Admin) {
    for file in ["deputy.wasm", "deputy.toml"] {
        let _ = fs::remove_file(host_folder.plugins().join(file));
    }
    until("the plugin to go", || admin.plugin("deputy").is_none().then_some(()));
}

#[test]
fn a_plugin_that_is_off_gets_late_what_was_due_meanwhile() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let (admin, report) = (host.admin(), report(&host));
    let switch = |verb: &str, state: &str| {
        let answer = admin.post(&format!("/v1/plugins/deputy:{verb}"), &json!({})).ok();
        assert_eq!(answer["state"], state, "what it answers is true");
    };
    let set = now_ms();
    order(&host, &json!([{"every": {"timer": "every", "ms": 200}}, {"after": {"timer": "once", "ms": 1_500}}]));
    fired(&report, "every", 1);
    switch("disable", "disabled");
    let due = admin.plugin("deputy").unwrap()["timers"].clone();
    assert_eq!(due["count"], 2, "{due}");
    until("the time of the other", || (now_ms() > set + 2_000).then_some(()));
    assert!(reports(&report, "once").is_empty());
    switch("enable", "running");
    let once = fired(&report, "once", 1);
    assert_eq!(once[0]["late"], true, "{once:?}");
    let seen = reports(&report, "every").len();
    fired(&report, "every", seen + 2);
    host.stop();
}

#[test]
fn a_timer_that_cannot_be_is_refused_with_what_to_do() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let cron =
        |expression: &str, zone: &str| json!({"cron": {"timer": "t", "expression": expression, "time_zone": zone}});
    for (requested, part) in [
        (json!({"every": {"timer": "t", "ms": 10}}), "every 10 ms is too often"),
        (cron("* * * *", "UTC"), "five fields"),
        (cron("* * * * *", "Mars/Olympus"), "IANA name"),
        (json!({"after": {"timer": "", "ms": 10}}), "1 to 256 bytes"),
    ] {
        order(&host, &json!([requested]));
        until(part, || {
            host.admin().dead_letters().iter().find(|l| l["error"].as_str().unwrap().contains(part)).map(|_| ())
        });
    }
}

/// Neither a restart nor a crash of the host counts as a start of a plugin.
#[test]
fn a_plugin_is_started_when_it_is_new_or_changed_and_only_then() {
    let host_folder = host_folder();
    let handled = |host: &Process, times: u64| {
        host.admin()
            .wait_plugin("deputy", "to handle its starts", |plugin| plugin["counters"]["done"].as_u64() == Some(times));
    };
    let host = host_folder.start();
    handled(&host, 1);
    host.kill();
    let host = host_folder.start();
    host.admin().wait_plugin("deputy", "to run", |plugin| plugin["state"] == "running");
    host.stop();
    // Changed while the host was stopped.
    host_folder.plugin("deputy.wasm", stamped(&fs::read(DEPUTY).unwrap(), "two"));
    let host = host_folder.start();
    handled(&host, 1);
    host_folder.plugin("deputy.wasm", stamped(&fs::read(DEPUTY).unwrap(), "three"));
    handled(&host, 2);
    assert_eq!(timers(&host.admin(), "deputy"), 0, "the timer belongs to another plugin");
    host.stop();
    assert_eq!(all_firings(&host_folder).iter().filter(|(name, ..)| name == "$start").count(), 3);
}
