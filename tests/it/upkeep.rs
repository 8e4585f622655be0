//! What is done with a data folder beside running a host on it: a backup under load and its restore, check and repair of a damaged
//! one; and what a host does when the machine fails it.

mod damage;
mod disk;
mod stopping;

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use switchbox_tests::{Device, HostFolder, Journal, Process, Session, more_descriptors, until};

use disk::Disk;

fn cli(host_folder: &HostFolder, arguments: &[&str]) -> (i32, String, String) {
    let mut run = Process::run(host_folder, arguments.iter().map(AsRef::as_ref));
    let code = run.wait().code().expect("it was killed");
    (code, run.output(), run.log())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn payloads(host_folder: &HostFolder) -> BTreeSet<String> {
    let (journal, _) = Journal::open(host_folder);
    journal.telemetry().map(|(_, payload)| String::from_utf8_lossy(payload).into_owned()).collect()
}

#[test]
fn a_backup_taken_under_load_has_everything_that_was_acknowledged_before_it_began() {
    let host_folder = HostFolder::new();
    host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n");
    // Old files go all the time.
    let host = host_folder.start_with(&["--journal-keep-bytes", "0"]);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|number| {
            let (mut device, stop) = (host.device(&format!("source-{number}")), stop.clone());
            std::thread::spawn(move || {
                let mut sent = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    device.event(format!("{number}-{sent}-{}", "x".repeat(2_000)));
                    sent += 1;
                }
            })
        })
        .collect();
    let mut device = host.device("witness");
    let mut backups = Vec::new();
    for round in 0..3 {
        (0..20).for_each(|number| device.event(format!("kept-{round}-{number}")));
        let to = host_folder.root().join(format!("backup-{round}"));
        let (code, output, log) = cli(
            &host_folder,
            &["backup", text(&to), "--data", text(&host_folder.data()), "--plugins", text(&host_folder.plugins())],
        );
        assert_eq!(code, 0, "{output}{log}");
        backups.push(to);
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    drop(device);
    host.stop();
    for (round, backup) in backups.iter().enumerate() {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(backup).unwrap().permissions().mode() & 0o077, 0, "others can look into it");
        assert!(backup.join("plugins/relay.toml").exists());
        let restored = HostFolder::new();
        let (code, output, log) = cli(&restored, &["restore", text(backup), "--data", text(&restored.data())]);
        assert_eq!(code, 0, "{output}{log}");
        let host = restored.start();
        assert_eq!(host.cli(&restored, &["device", "list"]).matches("witness").count(), 1);
        host.stop();
        let found = payloads(&restored);
        let missing: Vec<_> =
            (0..20).map(|number| format!("kept-{round}-{number}")).filter(|text| !found.contains(text)).collect();
        assert!(missing.is_empty(), "of backup {round}: {missing:?}");
    }
    // What was changed since is noticed, and nothing is written over.
    let restored = HostFolder::new();
    let tampered = backups[0].join("state.db");
    let mut bytes = fs::read(&tampered).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&tampered, bytes).unwrap();
    let (code, _, log) = cli(&restored, &["restore", text(&backups[0]), "--data", text(&restored.data())]);
    assert!(code == 3 && log.contains("not as it was written") && !restored.data().exists(), "{log}");
    let (code, _, log) = cli(&host_folder, &["restore", text(&backups[1]), "--data", text(&host_folder.data())]);
    assert!(code == 1 && log.contains("it is not empty"), "{log}");
}

#[test]
fn a_second_host_is_refused_though_the_lock_file_was_removed() {
    let host_folder = HostFolder::new();
    let first = host_folder.start();
    fs::remove_file(host_folder.data().join("lock")).unwrap();
    let mut second = Process::spawn(&host_folder);
    assert_eq!(second.wait().code(), Some(4));
    assert!(second.log().contains("is in use by another switchbox"), "{}", second.log());
    first.device("device-1").event("still here");
    first.stop();
}

#[test]
fn a_host_whose_folder_was_replaced_stops_and_says_so() {
    let host_folder = HostFolder::new();
    let mut host = host_folder.start();
    fs::rename(host_folder.data(), host_folder.root().join("elsewhere")).unwrap();
    fs::create_dir(host_folder.data()).unwrap();
    assert_eq!(host.wait().code(), Some(5));
    assert!(host.log().contains("another folder stands in its place"), "{}", host.log());
}

#[test]
fn a_host_that_can_no_longer_write_ends_in_time_with_a_reason() {
    let host_folder = HostFolder::new();
    // Files may have 3 MiB: `state.db` and the journal's beginning have room, what is sent has no room.
    let mut host = Process::spawn_under(&host_folder, &["prlimit", "--fsize=3145728", "--"], &[]);
    host.wait_ready();
    let (mqtt, began) = (host.mqtt(), Instant::now());
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut raw = switchbox_tests::raw::Raw::connect(
                    mqtt,
                    &switchbox_tests::raw::connect(&format!("s-{number}"), true, 0, None),
                )
                .0;
                let publish = switchbox_tests::raw::publish(
                    0x32,
                    &format!("/devices/s-{number}/events"),
                    1,
                    &[],
                    &"x".repeat(50_000),
                );
                while !stop.load(Ordering::Relaxed) && raw.try_send(&publish) {}
            })
        })
        .collect();
    let status = host.wait();
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| drop(writer.join()));
    assert_eq!(status.code(), Some(5), "{}", host.log());
    assert!(host.log().contains("the host had to stop: journal: "), "{}", host.log());
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[test]
fn a_host_whose_port_is_taken_says_so_and_has_not_touched_its_data() {
    let host_folder = HostFolder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut host = Process::spawn_with(&host_folder, &["--ws", &address]);
    let status = host.wait();
    assert_eq!(status.code(), Some(1), "{status}: {}", host.log());
    assert!(host.log().contains(&format!("cannot listen on {address}")), "{}", host.log());
    assert!(!host_folder.data().exists());
}

#[test]
fn a_host_whose_standard_error_cannot_be_written_serves_audits_and_stops() {
    const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";
    let host_folder = HostFolder::new();
    let wrapper = ["sh", "-c", "exec \"$0\" \"$@\" 2>/dev/full"];
    let mut host = Process::spawn_under(&host_folder, &wrapper, &[]);
    host.wait_ready();
    host.device("device-1").event("hello");
    let _ = host.admin().post(DEVICES, &serde_json::json!({"id": "lamp-1"})).ok();
    let lines = host.admin().get("/v1/audit").ok();
    assert_eq!(lines["lines"][0]["call"], format!("POST {DEVICES}"), "{lines}");
    host.stop();
}

#[test]
fn a_signal_during_the_start_ends_it() {
    let host_folder = HostFolder::new();
    let mut host = Process::spawn(&host_folder);
    until("the data folder", || host_folder.data().join("log").exists().then_some(()));
    host.terminate();
    let status = host.wait();
    assert!(status.success(), "{status}: {}", host.log());
    host_folder.start().stop();
}

#[test]
fn a_host_starts_with_the_addresses_of_a_39_bit_processor() {
    let host_folder = HostFolder::new();
    let mut host = Process::spawn_under(&host_folder, &["prlimit", "--as=549755813888", "--"], &[]);
    host.wait_ready();
    host.device("device-1").event("hello");
    host.stop();
}

#[test]
fn a_host_with_1024_descriptors_serves_beside_1099_silent_connections_and_its_journal_grows() {
    let host_folder = HostFolder::new();
    let mut host = Process::spawn_under(&host_folder, &["prlimit", "--nofile=1024:1024", "--"], &[]);
    host.wait_ready();
    more_descriptors();
    let mut device = host.device("device-1");
    let silent: Vec<_> = (0..1_099).filter_map(|_| std::net::TcpStream::connect(host.mqtt()).ok()).collect();
    assert!(silent.len() > 1_000, "{}", silent.len());
    // More than a file of the journal holds.
    let large = "x".repeat(200_000);
    (0..100).for_each(|_| device.event(large.as_str()));
    let files = fs::read_dir(host_folder.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
    assert!(files.filter(|path| path.extension().is_some_and(|e| e == "log")).count() > 1, "the journal did not grow");
    // A silent connection makes room once it has had its second; a client that comes before that is turned away, and comes again.
    let session = || Session::new("device-2");
    let mut other = until("a place for device-2", || Device::try_connect(host.mqtt(), session()));
    other.event("accepted beside them");
    let _ = host.admin().get("/readyz").ok();
    assert!(host.log().contains("fewer connections than mqtt.max-connections"), "{}", host.log());
    drop(silent);
    host.stop();
}

#[test]
fn a_host_on_a_full_disk_ends_with_a_reason_and_starts_again_on_its_reserve() {
    let host_folder = HostFolder::new();
    let Some(disk) = Disk::of_memory(&host_folder, "64m") else { return };
    let few = ["--disk-reserve-bytes", "8388608", "--disk-warn-free-bytes", "16777216"];
    let start = |more: &[&str]| {
        let mut host = Process::spawn_under(&host_folder, &disk.wrapper(), &[&few[..], more].concat());
        host.wait_ready();
        host
    };
    let host = start(&[]);
    host.device("device-1").event("kept");
    until("the reserve", || disk.sh(&format!("test -e '{}'", text(&host_folder.data().join("reserve")))).then_some(()));
    // Even if other files fill the disk.
    assert!(!disk.sh(&format!("head -c 100m /dev/zero > '{}/else' 2>/dev/null", text(&host_folder.data()))));
    host.logged(&["free disk space is low"]);
    let (mut host, mut raw) = {
        let mqtt = host.mqtt();
        (host, switchbox_tests::raw::Raw::connect(mqtt, &switchbox_tests::raw::connect("device-2", true, 0, None)).0)
    };
    let publish = switchbox_tests::raw::publish(0x32, "/devices/device-2/events", 1, &[], &"x".repeat(200_000));
    while host.try_wait().is_none() && raw.try_send(&publish) {}
    assert_eq!(host.wait().code(), Some(5), "{}", host.log());
    let host = start(&["--journal-keep-bytes", "0"]);
    assert!(host.log().contains("the reserve file is removed"), "{}", host.log());
    host.device("device-3").event("continued");
    host.stop();
}
