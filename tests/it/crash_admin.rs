//! SIGKILL while an operator's programs change many things at once: every change with a successful answer exists after the
//! restart, whatever was changed beside it.

use std::sync::{
    Barrier,
    mpsc::{SyncSender, sync_channel},
};

use serde_json::{Value, json};
use switchbox_tests::{Admin, HostFolder, LIMIT, Process};

const REGISTRIES: &str = "/v1/projects/local/locations/local/registries";
const DEVICES: usize = 24;
const HALLS: usize = 11;
const ACCOUNTS: usize = 12;
const CHANGES: usize = 200;
/// Answers after which the host is killed, at each attempt.
const ANSWERS: [usize; 10] = [100, 70, 50, 30, 20, 10, 5, 1, 1, 1];

/// One field of one thing.
struct Change {
    path: String,
    mask: &'static str,
    value: Value,
}

fn of(path: &str, fields: &[(&'static str, Value)]) -> Vec<Change> {
    fields.iter().map(|(mask, value)| Change { path: path.to_owned(), mask, value: value.clone() }).collect()
}

/// 200 changes, each of another field. One of each device blocks it.
fn changes() -> Vec<Change> {
    let devices = (0..DEVICES).map(|n| Admin::device_path(&format!("lamp-{n}"), ""));
    let of_devices = devices.flat_map(|path| {
        let url = "http://127.0.0.1:9/lamp";
        let fields = [
            ("blocked", json!(true)),
            ("metadata", json!({"room": "hall"})),
            ("logLevel", json!("DEBUG")),
            ("methodEndpoint", json!({ "url": url })),
            ("gatewayConfig", json!({"gatewayType": "GATEWAY", "gatewayAuthMethod": "ASSOCIATION_ONLY"})),
        ];
        of(&path, &fields)
    });
    let of_registries = (0..HALLS).flat_map(|n| {
        let fields = [
            ("logLevel", json!("ERROR")),
            ("httpConfig", json!({"httpEnabledState": "HTTP_DISABLED"})),
            ("eventNotificationConfigs", json!([{"pubsubTopicName": "projects/p/topics/t"}])),
            ("stateNotificationConfig", json!({"pubsubTopicName": "projects/p/topics/s"})),
        ];
        of(&format!("{REGISTRIES}/hall-{n}"), &fields)
    });
    let of_accounts = (0..ACCOUNTS).flat_map(|n| {
        let fields = [("disabled", json!(true)), ("publish", json!(["alerts/#"])), ("subscribe", json!(["news/#"]))];
        of(&format!("/v1/serviceAccounts/wall-{n}"), &fields)
    });
    of_devices.chain(of_registries).chain(of_accounts).collect()
}

fn make(admin: &Admin) {
    let parents = [
        (format!("{REGISTRIES}/default/devices"), "lamp", DEVICES),
        (REGISTRIES.to_owned(), "hall", HALLS),
        ("/v1/serviceAccounts".to_owned(), "wall", ACCOUNTS),
    ];
    for (parent, name, count) in parents {
        for n in 0..count {
            let _ = admin.post(&parent, &json!({"id": format!("{name}-{n}")})).ok();
        }
    }
}

/// Makes the change at the same moment as all others. Returns `None` if there was no answer.
fn change<'c>(
    admin: &Admin,
    change: &'c Change,
    begin: &Barrier,
    answers: &SyncSender<&'c Change>,
) -> Option<&'c Change> {
    let path = format!("{}?updateMask={}", change.path, change.mask);
    begin.wait();
    let answer = admin.try_patch(&path, &json!({ change.mask: change.value }))?;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let _ = answers.send(change);
    Some(change)
}

/// Makes all changes at once and kills the host after so many answers, of which one blocks a device. Returns those that had an answer.
fn killed_after(answers: usize, host: Process, changes: &[Change]) -> Vec<&Change> {
    let (begin, (sender, answered)) = (Barrier::new(changes.len()), sync_channel(CHANGES));
    std::thread::scope(|scope| {
        let begin = &begin;
        let calls: Vec<_> = changes
            .iter()
            .map(|one| {
                let (admin, sender) = (host.admin(), sender.clone());
                scope.spawn(move || change(&admin, one, begin, &sender))
            })
            .collect();
        let (mut count, mut blocked) = (0, false);
        while count < answers || !blocked {
            let one = answered.recv_timeout(LIMIT).expect("too few answers");
            (count, blocked) = (count + 1, blocked || blocks(one));
        }
        host.kill();
        calls.into_iter().filter_map(|call| call.join().expect("a call failed")).collect()
    })
}

fn blocks(change: &Change) -> bool {
    change.mask == "blocked"
}

/// One attempt in a folder of its own. Returns whether the kill came before the last answer.
fn attempt(answers: usize) -> bool {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    make(&host.admin());
    let changes = changes();
    assert_eq!(changes.len(), CHANGES);
    let acknowledged = killed_after(answers, host, &changes);
    eprintln!("{} of {CHANGES} changes were acknowledged before the kill", acknowledged.len());

    let host = host_folder.start();
    for Change { path, mask, value } in &acknowledged {
        assert_eq!(&host.admin().get(path).ok()[mask], value, "{mask} of {path} was acknowledged");
    }
    assert!(acknowledged.iter().any(|change| blocks(change)), "no device was blocked before the kill");
    let etags = |admin: Admin| acknowledged.iter().map(|change| admin.etag(&change.path)).collect::<Vec<_>>();
    let before = etags(host.admin());
    host.kill();
    let host = host_folder.start();
    assert_eq!(etags(host.admin()), before, "an ETag outlives a kill");
    host.stop();
    acknowledged.len() < CHANGES
}

/// Several commits may be answered before the signal has effect, so a kill that came too late is tried again, after fewer answers.
#[test]
fn each_acknowledged_change_of_200_at_once_is_there_after_a_kill_in_the_middle() {
    let in_the_middle = ANSWERS.into_iter().any(attempt);
    assert!(in_the_middle, "each of {} kills came after the last answer", ANSWERS.len());
}
