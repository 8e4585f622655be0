//! SIGKILL under load, again and again: no event that was acknowledged loses its effects, and none has them twice. Read
//! from the data folder and from the devices' side.
//!
//! `SWITCHBOX_CRASH_ROUNDS` says how often (20), `SWITCHBOX_CRASH_SEED` when to kill (printed).

mod wills;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use rumqttc::QoS;
use switchbox_model::Outcome;
use switchbox_store::ConfigVersion;
use switchbox_tests::{
    COUNTER, Device, HostFolder, InProcess, Journal, LIMIT, Process, Random, config, crash_plan, events, until,
};

const SOURCES: usize = 6;
/// Events of one source in one round.
const MOST: usize = 600;
const PLUGINS: [&str; 2] = ["counter", "relay"];

/// What a source publishes: to be relayed to the sink, and to be counted.
fn record(id: &str, source: usize) -> String {
    format!(r#"{{"deviceId":"sink-{source}","registryId":"default","cloudRegion":"local","hops":0,"id":"{id}"}}"#)
}

fn id_of(payload: &[u8]) -> String {
    let record: serde_json::Value = serde_json::from_slice(payload).expect("no record");
    record["id"].as_str().expect("no id").to_owned()
}

fn targets() -> impl Iterator<Item = String> {
    (0..SOURCES).flat_map(|n| [format!("sink-{n}"), format!("tally-source-{n}")])
}

/// What one connection of a target got, in order.
type Received = (String, Vec<Bytes>);

#[derive(Default)]
struct Evidence {
    /// Ids of the events whose PUBACK was seen.
    acknowledged: Vec<String>,
    received: Vec<Received>,
}

/// One device's events until the host is gone.
fn publish(mut device: Device, round: u64, source: usize, acknowledged: &AtomicUsize) -> Vec<String> {
    let topic = events(&device.id);
    let mut counted = 0;
    for n in 0..MOST {
        if device.send(&topic, QoS::AtLeastOnce, record(&format!("{round}-{source}-{n}"), source)).is_none() {
            break;
        }
        let now = device.seen().acknowledged.len();
        acknowledged.fetch_add(now - counted, Ordering::Relaxed);
        counted = now;
    }
    let gone = device.try_wait(LIMIT, |seen| {
        acknowledged.fetch_add(seen.acknowledged.len() - counted, Ordering::Relaxed);
        counted = seen.acknowledged.len();
        None::<()>
    });
    assert!(gone.is_none());
    assert!(device.seen().ended.is_some(), "source-{source} is still connected to a host that was killed");
    let seen = device.seen();
    seen.acknowledged.iter().map(|n| format!("{round}-{source}-{n}")).collect()
}

/// Starts the host and the publishing sources, and kills the host after this many acknowledgements.
fn round(host_folder: &HostFolder, round: u64, kill_after: usize, evidence: &mut Evidence) {
    let host = host_folder.start();
    let sinks: Vec<_> = targets()
        .map(|id| {
            let mut device = host.device(&id);
            device.subscribe_config();
            device
        })
        .collect();
    let sources: Vec<_> = (0..SOURCES).map(|source| host.device(&format!("source-{source}"))).collect();
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let sources: Vec<_> = (0..)
            .zip(sources)
            .map(|(source, device)| {
                let acknowledged = &acknowledged;
                scope.spawn(move || publish(device, round, source, acknowledged))
            })
            .collect();
        until("the acknowledgements", || (acknowledged.load(Ordering::Relaxed) >= kill_after).then_some(()));
        host.kill();
        for source in sources {
            evidence.acknowledged.extend(source.join().expect("a source failed"));
        }
    });
    evidence.received.extend(sinks.iter().map(received));
}

fn received(device: &Device) -> Received {
    device.try_wait(LIMIT, |seen| seen.ended.is_some().then_some(()));
    let seen = device.seen();
    let topic = config(&device.id);
    let payloads = seen.messages.iter().filter(|m| m.topic == topic).map(|m| m.payload.clone()).collect();
    (device.id.clone(), payloads)
}

/// Kills the host before it is ready, wherever it is then.
fn kill_at_start(host_folder: &HostFolder, random: &mut Random) {
    let mut host = Process::spawn(host_folder);
    let lines = usize::try_from(random.below(4)).unwrap_or(0);
    until("the start to get somewhere", || {
        let there = host.log().lines().count() >= lines || !host.output().is_empty();
        (there || host.try_wait().is_some()).then_some(())
    });
    host.kill();
}

#[test]
fn no_acknowledged_event_loses_its_effects_and_none_has_them_twice() {
    let (rounds, mut random) = crash_plan(20);
    let host_folder = HostFolder::new();
    // A busy machine may stop a guest for longer than it may work.
    host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n[limits]\ndeadline = \"30s\"\n");
    host_folder.plugin("counter.wasm", std::fs::read(COUNTER).unwrap());
    host_folder.plugin("counter.toml", "[limits]\ndeadline = \"30s\"\n");

    let mut evidence = Evidence::default();
    let mut left_over = 0;
    for n in 0..rounds {
        let kill_after = usize::try_from(1 + random.below((SOURCES * MOST) as u64 * 9 / 10)).unwrap();
        round(&host_folder, n, kill_after, &mut evidence);
        if n % 4 == 1 {
            kill_at_start(&host_folder, &mut random);
        }
        if n % 4 == 2 {
            left_over += unhandled(&Journal::open(&host_folder).0);
        }
    }
    assert!(left_over > 0 || rounds < 3, "every kill came when all was done: this proves nothing");

    let host = host_folder.start_in_process();
    let journal = finish(&host, &mut evidence);
    check_configs(&host, &journal);
    host.stop();
    check_events(&journal, &evidence);
    check_received(&journal, &evidence);
    check_counts(&host_folder, &journal);
    let events = journal.telemetry().count();
    eprintln!(
        "{rounds} rounds, {events} events, {} acknowledged, {left_over} seen unhandled after a kill",
        evidence.acknowledged.len()
    );
}

/// Events that a plugin has not handled.
fn unhandled(journal: &Journal) -> usize {
    let handled: Vec<_> = PLUGINS.iter().map(|plugin| journal.executions_of(plugin)).collect();
    journal.telemetry().map(|(event, _)| handled.iter().filter(|h| !h.contains_key(&event.seq)).count()).sum()
}

/// The last start: all that was left is handled, and every target gets its newest config.
fn finish(host: &InProcess, evidence: &mut Evidence) -> Journal {
    let sinks: Vec<_> = targets()
        .map(|id| {
            let mut device = host.device(&id);
            device.subscribe_config();
            device
        })
        .collect();
    let journal = until("all events to be handled", || {
        let idle = host.handles.plugins.list().iter().all(|plugin| plugin.queued == 0 && !plugin.lagging);
        idle.then(|| host.journal()).filter(|journal| unhandled(journal) == 0)
    });
    for sink in &sinks {
        let newest = journal.configs(&sink.id).pop().map(|(_, payload)| payload);
        sink.wait("the newest config", |seen| {
            (seen.messages.last().map(|m| &m.payload) == newest.as_ref()).then_some(())
        });
    }
    evidence.received.extend(sinks.into_iter().map(|sink| {
        let payloads = sink.seen().messages.iter().map(|m| m.payload.clone()).collect();
        (sink.id.clone(), payloads)
    }));
    journal
}

/// The registry has exactly the configs of the journal: one version each, none left out, the newest acknowledged.
fn check_configs(host: &InProcess, journal: &Journal) {
    for target in targets() {
        let in_journal = journal.configs(&target);
        let device = journal.device(&target);
        let kept: Vec<ConfigVersion> = until("the newest config to be acknowledged", || {
            let kept = host.wait_for(host.handles.store.configs(device, 10)).expect("no configs");
            kept.first().is_none_or(|newest| newest.acknowledged_ms.is_some()).then_some(kept)
        });
        assert_eq!(kept.len(), in_journal.len().min(10), "{target}");
        let expected = (1_u64..).zip(&in_journal).collect::<Vec<_>>().into_iter().rev();
        for (version, (number, (seq, payload))) in kept.iter().zip(expected) {
            assert_eq!(version.version, number, "{target}: the versions are not contiguous");
            assert_eq!(&version.payload, payload, "{target} version {number}");
            assert_eq!(version.cause.effect_key().map(|key| key.seq), Some(*seq), "{target} version {number}");
        }
    }
}

/// Every event is recorded once, and each plugin has handled it once, with the effects that belong to it.
fn check_events(journal: &Journal, evidence: &Evidence) {
    let numbers: Vec<_> = journal.events.iter().map(|event| event.seq.0).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "the events' numbers have gaps");

    let mut by_id = HashMap::new();
    for (event, payload) in journal.telemetry() {
        assert!(by_id.insert(id_of(payload), event.seq).is_none(), "{} is in the journal twice", id_of(payload));
    }
    let lost: Vec<_> = evidence.acknowledged.iter().filter(|id| !by_id.contains_key(*id)).collect();
    assert!(lost.is_empty(), "acknowledged, and not in the journal: {lost:?}");
    let once: HashSet<_> = evidence.acknowledged.iter().collect();
    assert_eq!(once.len(), evidence.acknowledged.len());

    for plugin in PLUGINS {
        let executions = journal.executions_of(plugin);
        for (event, payload) in journal.telemetry() {
            let id = id_of(payload);
            let of_event = executions.get(&event.seq).map_or(&[][..], Vec::as_slice);
            assert_eq!(
                of_event.len(),
                1,
                "event {} ({id}) was handled {} times by {plugin}",
                event.seq,
                of_event.len()
            );
            assert!(matches!(of_event[0].outcome, Outcome::Done { .. }), "{:?}", of_event[0]);
            // The relay sets a config; the counter a config and its count.
            let effects = of_event[0].effects();
            assert_eq!(effects.len(), if plugin == "relay" { 1 } else { 2 }, "{plugin}, {id}: {effects:?}");
        }
    }
    for source in 0..SOURCES {
        for (seq, payload) in journal.configs(&format!("sink-{source}")) {
            let id = id_of(&payload);
            assert_eq!(by_id[&id], seq, "the config of {id} belongs to another event");
            assert_eq!(payload, record(&id, source).replace(r#""hops":0"#, r#""hops":1"#));
        }
    }
}

/// No device got anything that is not in the log, nothing out of order, and nothing twice on one connection.
fn check_received(journal: &Journal, evidence: &Evidence) {
    let versions: BTreeMap<String, HashMap<Bytes, usize>> = targets()
        .map(|id| {
            let configs = journal.configs(&id);
            (id, configs.into_iter().enumerate().map(|(n, (_, payload))| (payload, n + 1)).collect())
        })
        .collect();
    for (device, payloads) in &evidence.received {
        let known = &versions[device];
        let got: Vec<_> = payloads
            .iter()
            .map(|payload| {
                *known.get(payload).unwrap_or_else(|| panic!("{device} got {payload:?}, which is in no journal"))
            })
            .collect();
        assert!(got.is_sorted_by(|a, b| a < b), "{device} got versions {got:?}");
    }
}

/// The counter's state is what it would be if nothing had ever been killed.
fn check_counts(host_folder: &HostFolder, journal: &Journal) {
    let (_, documents) = Journal::open(host_folder);
    for source in 0..SOURCES {
        let source = format!("source-{source}");
        let device = journal.device(&source);
        let expected = journal.telemetry().filter(|(event, _)| event.device == Some(device)).count();
        let kept = documents.kv.iter().find(|doc| doc.key == source).expect("no count");
        assert_eq!(kept.value.as_deref(), Some(expected.to_string().as_bytes()), "{source}");
        assert_eq!(kept.revision, expected as u64, "{source}");
    }
}
