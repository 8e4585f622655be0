//! SIGKILL while timers fire and configs are patched: a timer fires exactly once for each time that it is due (at most once for
//! each time of a repeating one), and every config comes to its newest version.
//!
//! `SWITCHBOX_CRASH_ROUNDS` says how often (10), `SWITCHBOX_CRASH_SEED` when to kill (printed).

use std::collections::{BTreeMap, BTreeSet};

use rumqttc::QoS;
use serde_json::{Value, json};
use switchbox_model::{Effect, EventData};
use switchbox_tests::{
    Admin, Device, HostFolder, Journal, LIMIT, Process, Random, Session, crash_plan, deputy, events,
};

const LAMPS: u64 = 3;
/// Orders of one round.
const ORDERS: u64 = 12;

fn subscriber(host: &Process, id: &str) -> Device {
    let mut device = host.device(id);
    device.subscribe_config();
    device
}

/// Sets timers and patches configs, and kills the host after this many reports.
fn round(host_folder: &HostFolder, round: u64, random: &mut Random) {
    let host = host_folder.start();
    let report = subscriber(&host, "report");
    let mut boss = Device::connect(host.mqtt(), Session::new("boss"));
    if round == 0 {
        boss.event(json!([{"every": {"timer": "tick", "ms": 100}}]).to_string());
    }
    for n in 0..ORDERS {
        let orders = json!([
            {"after": {"timer": format!("once-{round}-{n}"), "ms": random.below(1_500)}},
            {"patch": {"device": format!("lamp-{}", n % LAMPS), "patch": {format!("k{n}"): round}}},
        ]);
        let _ = boss.send(&events("boss"), QoS::AtLeastOnce, orders.to_string());
    }
    let reports = usize::try_from(1 + random.below(20)).unwrap();
    report.try_wait(LIMIT, |seen| (seen.messages.len() >= reports).then_some(()));
    host.kill();
}

#[test]
fn every_timer_fires_once_for_each_time_and_every_config_converges() {
    let (rounds, mut random) = crash_plan(10);
    let host_folder = HostFolder::new();
    deputy(&host_folder, "deputy");
    {
        let host = host_folder.start();
        (0..LAMPS).for_each(|n| drop(host.device(&format!("lamp-{n}"))));
        host.stop();
    }
    for n in 0..rounds {
        round(&host_folder, n, &mut random);
    }
    let host = host_folder.start();
    finish(&host);
    host.stop();
    let (journal, documents) = Journal::open(&host_folder);
    check_one_shots(&journal);
    let ticks = check_ticks(&journal);
    let count = documents.kv.iter().find(|doc| doc.key == "tick").expect("no count");
    assert_eq!(count.value.as_deref(), Some(ticks.to_string().as_bytes()), "a tick was handled twice, or not at all");
    eprintln!("{rounds} rounds, {ticks} ticks, {} firings", firings(&journal).count());
}

/// All that is left fires and is handled, and every lamp gets its newest config.
fn finish(host: &Process) {
    let admin = host.admin();
    Device::connect(host.mqtt(), Session::new("boss")).event(json!([{"cancel": {"timer": "tick"}}]).to_string());
    admin.wait_plugin("deputy", "without timers and events", |plugin| {
        plugin["timers"]["count"] == 0 && plugin["queued"].as_u64().unwrap_or(0) == 0
    });
    for n in 0..LAMPS {
        let id = format!("lamp-{n}");
        let lamp = subscriber(host, &id);
        let desired = admin.get(&Admin::device_path(&id, "/twin")).ok()["desired"].clone();
        assert!(!desired.as_object().unwrap().is_empty(), "no patch of {id} was ever done: this proves nothing");
        lamp.wait("the newest config", |seen| {
            let newest = seen.messages.last()?;
            (serde_json::from_slice::<Value>(&newest.payload).ok()? == desired).then_some(())
        });
    }
}

/// (name, due) of every firing of the plugin's own timers, in the order of the journal.
fn firings(journal: &Journal) -> impl Iterator<Item = (&str, u64)> {
    journal.events.iter().filter_map(|event| match &event.data {
        EventData::Timer { name, due_ms, .. } if !name.starts_with('$') => Some((name.as_str(), *due_ms)),
        _ => None,
    })
}

fn check_one_shots(journal: &Journal) {
    let set: BTreeSet<_> = journal
        .executions
        .iter()
        .flat_map(|execution| execution.effects())
        .filter_map(|effect| match effect {
            Effect::TimerSet(timer) if timer.name != "tick" => Some((timer.name.clone(), timer.due_ms)),
            _ => None,
        })
        .collect();
    let mut fired: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for (name, due) in firings(journal).filter(|(name, _)| *name != "tick") {
        *fired.entry((name.to_owned(), due)).or_default() += 1;
    }
    let twice: Vec<_> = fired.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "fired more than once: {twice:?}");
    assert_eq!(fired.into_keys().collect::<BTreeSet<_>>(), set, "fired, and set");
    for (seq, executions) in journal.executions_of("deputy") {
        assert_eq!(executions.len(), 1, "event {seq} was handled {} times", executions.len());
    }
}

/// Returns how many there were.
fn check_ticks(journal: &Journal) -> usize {
    let dues: Vec<_> = firings(journal).filter(|(name, _)| *name == "tick").map(|(_, due)| due).collect();
    assert!(dues.is_sorted_by(|a, b| a < b), "a time came twice: {dues:?}");
    assert!(dues.windows(2).all(|pair| (pair[1] - pair[0]) % 100 == 0), "{dues:?}");
    dues.len()
}
