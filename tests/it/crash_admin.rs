//! SIGKILL while an operator's programs change many things at once: every change with a successful answer exists after the
//! restart, whatever was changed beside it.

use std::sync::{
    Barrier,
    mpsc::{SyncSender, sync_channel},
};

use serde_json::{Value, json};
use switchbox_tests::{Admin, HostFolder, LIMIT};

const REGISTRIES: &str = "/v1/projects/local/locations/local/registries";
const DEVICES: usize = 24;
const HALLS: usize = 11;
const ACCOUNTS: usize = 12;
const CHANGES: usize = 200;
/// Answers after which the host is killed.
const ANSWERS: usize = 100;

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
fn change<'c>(admin: &Admin, change: &'c Change, begin: &Barrier, answers: &SyncSender<()>) -> Option<&'c Change> {
    let path = format!("{}?updateMask={}", change.path, change.mask);
    begin.wait();
    let answer = admin.try_patch(&path, &json!({ change.mask: change.value }))?;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let _ = answers.send(());
    Some(change)
}

#[test]
fn each_acknowledged_change_of_200_at_once_is_there_after_a_kill() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    make(&host.admin());
    let changes = changes();
    assert_eq!(changes.len(), CHANGES);
    let (begin, (answers, answered)) = (Barrier::new(changes.len()), sync_channel(CHANGES));
    let acknowledged: Vec<_> = std::thread::scope(|scope| {
        let begin = &begin;
        let calls: Vec<_> = changes
            .iter()
            .map(|one| {
                let (admin, answers) = (host.admin(), answers.clone());
                scope.spawn(move || change(&admin, one, begin, &answers))
            })
            .collect();
        for _ in 0..ANSWERS {
            answered.recv_timeout(LIMIT).expect("too few answers");
        }
        host.kill();
        calls.into_iter().filter_map(|call| call.join().expect("a call failed")).collect()
    });
    eprintln!("{} of {CHANGES} changes were acknowledged before the kill", acknowledged.len());

    let host = host_folder.start();
    for Change { path, mask, value } in &acknowledged {
        assert_eq!(&host.admin().get(path).ok()[mask], value, "{mask} of {path} was acknowledged");
    }
    let etags = |admin: Admin| acknowledged.iter().map(|change| admin.etag(&change.path)).collect::<Vec<_>>();
    let before = etags(host.admin());
    host.kill();
    let host = host_folder.start();
    assert_eq!(etags(host.admin()), before, "an ETag outlives a kill");
    host.stop();
}
