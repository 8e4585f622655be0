//! SIGKILL while commands are sent, acknowledged, cancelled and expire, again and again: every command ends
//! once, none that was acknowledged comes again, none comes again without DUP, none that waits is lost.
//!
//! `SWITCHBOX_CRASH_ROUNDS` gives the number of rounds (10), `SWITCHBOX_CRASH_SEED` the random seed (printed).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use switchbox_model::{CommandStatus, EventData};
use switchbox_tests::{
    Admin, Device, HostFolder, Journal, LIMIT, Message, Process, Random, Session, crash_plan, until,
};

const LAMPS: usize = 4;
/// Commands to one lamp in one round.
const MOST: usize = 120;

fn lamp(n: usize) -> String {
    format!("lamp-{n}")
}

/// A command by its lamp and its place in the lamp's queue, which is its sub-folder too.
type Spot = (usize, u64);

/// A command's place in its lamp's queue, and whether it came with DUP.
type Got = (u64, bool);

#[derive(Default)]
struct Evidence {
    /// Commands that the host took, by their ids.
    taken: HashMap<String, Spot>,
    /// The newest number of each lamp.
    newest: [u64; LAMPS],
    /// What each connection got, in order, with the round.
    received: Vec<(u64, usize, Vec<Got>)>,
    /// Acknowledged in an earlier round.
    acknowledged_before: BTreeMap<u64, HashSet<Spot>>,
}

/// Sends commands to one lamp until the host is gone, and cancels some of them.
fn send(admin: &Admin, lamp_number: usize, from: u64, seed: u64, answers: &AtomicUsize) -> Vec<(String, u64)> {
    let mut random = Random(seed);
    let mut taken: Vec<(String, u64)> = Vec::new();
    for number in (from..).take(MOST) {
        let ttl = if random.below(4) == 0 { "0.05s" } else { "3600s" };
        let body = json!({"binaryData": "", "subfolder": number.to_string(), "ttl": ttl});
        let path = Admin::device_path(&lamp(lamp_number), ":sendCommandToDevice");
        // A full queue refuses: the lamp may be away.
        let Some(answer) = admin.try_post(&path, &body) else { break };
        if answer.status == 200 {
            taken.push((answer.body["id"].as_str().expect("no id").to_owned(), number));
        }
        if let Some((id, _)) = taken.get(random.below(8 * MOST as u64) as usize) {
            // It may have ended before.
            if admin.try_delete(&Admin::device_path(&lamp(lamp_number), &format!("/commands/{id}"))).is_none() {
                break;
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    taken
}

fn subscribed(host: &Process, n: usize, acknowledges: bool) -> Device {
    let mut device = Device::connect(host.mqtt(), Session { acknowledges, ..Session::new(&lamp(n)) });
    assert!(device.subscribe(&format!("/devices/{}/commands/#", device.id)));
    device
}

fn got(message: &Message) -> Got {
    let number = message.topic.rsplit('/').next().and_then(|number| number.parse().ok());
    (number.expect("no number"), message.dup)
}

fn round(host_folder: &HostFolder, round: u64, random: &mut Random, evidence: &mut Evidence) {
    let host = host_folder.start();
    // One lamp is offline, one does not answer, the others acknowledge. The roles change in each round.
    let lamps: Vec<_> = (0..LAMPS)
        .filter(|n| !(*n as u64 + round).is_multiple_of(4))
        .map(|n| (n, subscribed(&host, n, (n as u64 + round) % 4 != 1)))
        .collect();
    let kill_after = 1 + random.below((LAMPS * MOST) as u64 * 9 / 10) as usize;
    let answers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..LAMPS)
            .map(|n| {
                let (from, seed) = (evidence.newest[n] + 1, random.below(1 << 30));
                let (admin, answers) = (host.admin(), &answers);
                scope.spawn(move || (n, send(&admin, n, from, seed, answers)))
            })
            .collect();
        until("the answers", || (answers.load(Ordering::Relaxed) >= kill_after).then_some(()));
        host.kill();
        for sender in senders {
            let (n, taken) = sender.join().expect("a sender failed");
            evidence.newest[n] += MOST as u64;
            evidence.taken.extend(taken.into_iter().map(|(id, number)| (id, (n, number))));
        }
    });
    for (n, device) in lamps {
        device.try_wait(LIMIT, |seen| seen.ended.is_some().then_some(()));
        let commands = device.seen().messages.iter().map(got).collect();
        evidence.received.push((round, n, commands));
    }
    let (journal, _) = Journal::open(host_folder);
    let acknowledged = ends(&journal)
        .into_iter()
        .filter(|(_, statuses)| statuses.contains(&CommandStatus::Acknowledged))
        .filter_map(|(id, _)| evidence.taken.get(&id).copied());
    let acknowledged = acknowledged.collect();
    evidence.acknowledged_before.insert(round + 1, acknowledged);
}

/// The final statuses of every command in the journal.
fn ends(journal: &Journal) -> HashMap<String, Vec<CommandStatus>> {
    let mut ends: HashMap<String, Vec<CommandStatus>> = HashMap::new();
    for event in &journal.events {
        if let EventData::CommandSettled { id, status } = &event.data {
            ends.entry(id.clone()).or_default().push(*status);
        }
    }
    ends
}

/// The last start: the lamps acknowledge all that is left.
fn finish(host_folder: &HostFolder, round: u64, evidence: &mut Evidence) -> Journal {
    let host = host_folder.start();
    let lamps: Vec<_> = (0..LAMPS).map(|n| subscribed(&host, n, true)).collect();
    let admin = host.admin();
    for n in 0..LAMPS {
        for status in ["queued", "sent"] {
            let path = Admin::device_path(&lamp(n), &format!("/commands?pageSize=1&status={status}"));
            until("every command to end", || {
                admin.get(&path).ok()["commands"].as_array().is_some_and(Vec::is_empty).then_some(())
            });
        }
    }
    for (n, device) in lamps.iter().enumerate() {
        let commands = device.seen().messages.iter().map(got).collect();
        evidence.received.push((round, n, commands));
    }
    drop(lamps);
    host.stop();
    Journal::open(host_folder).0
}

#[test]
fn every_command_ends_once_none_acknowledged_comes_again_and_none_is_lost() {
    let (rounds, mut random) = crash_plan(10);
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    (0..LAMPS).for_each(|n| drop(host.device(&lamp(n))));
    host.stop();
    let mut evidence = Evidence::default();
    (0..rounds).for_each(|n| round(&host_folder, n, &mut random, &mut evidence));
    let journal = finish(&host_folder, rounds, &mut evidence);

    let ends = ends(&journal);
    let numbers: Vec<_> = journal.events.iter().map(|event| event.seq.0).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "the events' numbers have gaps");
    let doubled: Vec<_> = ends.iter().filter(|(_, statuses)| statuses.len() != 1).collect();
    assert!(doubled.is_empty(), "ended more than once: {doubled:?}");
    let lost: Vec<_> = evidence.taken.iter().filter(|(id, _)| !ends.contains_key(*id)).collect();
    assert!(lost.is_empty(), "taken, and without an end: {lost:?}");

    let mut got: HashSet<Spot> = HashSet::new();
    for (round, n, commands) in &evidence.received {
        for (number, dup) in commands {
            assert!(got.insert((*n, *number)) || *dup, "round {round}: lamp {n} got {number} again, without DUP");
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, host_folder) in &evidence.taken {
        let status = ends[id][0];
        *counts.entry(status.as_str()).or_default() += 1;
        assert!(
            status != CommandStatus::Acknowledged || got.contains(host_folder),
            "{id} {host_folder:?} came to no lamp"
        );
    }
    for (round, n, commands) in &evidence.received {
        let numbers: Vec<u64> = commands.iter().map(|(number, _)| *number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "round {round}: lamp {n} got {numbers:?}");
        let before = evidence.acknowledged_before.get(round);
        let again: Vec<_> =
            numbers.iter().filter(|number| before.is_some_and(|before| before.contains(&(*n, **number)))).collect();
        assert!(again.is_empty(), "round {round}: acknowledged, and sent again to lamp {n}: {again:?}");
    }
    assert!(rounds < 3 || ["acknowledged", "expired", "purged"].iter().all(|status| counts.contains_key(status)));
    eprintln!("{rounds} rounds, {} commands, {counts:?}", evidence.taken.len());
}
