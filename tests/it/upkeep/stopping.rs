//! SIGTERM while a part of the host hangs, and the end of a host whose disk fails: in bounded time, with the exit code of
//! docs/operations.md and a line that says why.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use switchbox_tests::{HOSTILE, HostFolder, Process, events, raw, until};

use super::{cli, disk::Disk, payloads, text};

/// The longest that a stop takes, and something for a busy machine.
const BOUND: Duration = Duration::from_secs(35);

/// True if the process has ended, or if only threads remain that the kernel does not end before the disk answers.
fn has_ended(host: &Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", host.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
}

fn waits_for_end(host: &Process, since: Instant) {
    until("the process to end", || has_ended(host).then_some(()));
    assert!(since.elapsed() < BOUND, "{:?}: {}", since.elapsed(), host.log());
}

#[test]
fn sigterm_ends_a_host_whose_plugin_computes_for_ever_and_whose_callers_read_nothing() {
    let host_folder = HostFolder::new();
    host_folder.plugin("endless.toml", "component = \"endless.wasm\"\n[limits]\ndeadline = \"60s\"\n");
    host_folder.plugin("endless.wasm", fs::read(HOSTILE).unwrap());
    let mut host = host_folder.start();
    let mut device = host.device("villain-1");
    (0..30).for_each(|_| device.event(format!("nothing {}", "x".repeat(200_000))));
    until("the events before the loop to be handled", || {
        let plugin = host.admin().plugin("endless")?;
        (plugin["counters"]["done"].as_u64()? >= 30).then_some(())
    });
    // Each answer is 4 MiB, and none of it is read.
    let token = fs::read_to_string(host_folder.data().join("admin-token")).unwrap();
    let address = host.admin().base().trim_start_matches("http://").to_owned();
    let request = format!(
        "GET /v1/events?pageSize=1000 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\r\n",
        token.trim()
    );
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let mut caller = TcpStream::connect(&address).unwrap();
            caller.write_all(request.as_bytes()).unwrap();
            caller
        })
        .collect();
    device.event("loop");
    let began = Instant::now();
    host.terminate();
    waits_for_end(&host, began);
    // Everything that is acknowledged is on the disk; the event comes again.
    assert_eq!(host.wait().code(), Some(0), "{}", host.log());
    host.logged(&["did not end within", "the host stops without it", "part=\"plugins\""]);
    drop(callers);
    assert!(payloads(&host_folder).contains("loop"));
}

#[test]
fn sigterm_ends_a_host_whose_disk_hangs_for_ever() {
    let host_folder = HostFolder::new();
    let Some(disk) = Disk::of_ext4(&host_folder, "64m") else { return };
    let mut host = Process::spawn_under(&host_folder, &disk.wrapper(), &[]);
    host.wait_ready();
    host.device("device-1").event("kept");
    let mut raw = raw::Raw::connect(host.mqtt(), &raw::connect("device-2", true, 0, None)).0;
    disk.freeze();
    raw.send(&raw::publish(0x32, &events("device-2"), 1, &[], "on its way"));
    let began = Instant::now();
    host.terminate();
    host.logged(&["switchbox: the store did not end in time"]);
    waits_for_end(&host, began);
    assert!(TcpStream::connect(host.mqtt()).is_err(), "its port is still open");
    disk.thaw();
    assert_eq!(host.wait().code(), Some(6), "{}", host.log());
    let mut host = Process::spawn_under(&host_folder, &disk.wrapper(), &[]);
    host.wait_ready();
    host.stop();
    let copy = HostFolder::new();
    disk.copy_data_to(&copy);
    assert!(payloads(&copy).contains("kept"));
}

#[test]
fn a_second_signal_ends_a_host_at_once_whose_disk_hangs() {
    let host_folder = HostFolder::new();
    let Some(disk) = Disk::of_ext4(&host_folder, "64m") else { return };
    let mut host = Process::spawn_under(&host_folder, &disk.wrapper(), &[]);
    host.wait_ready();
    let mut raw = raw::Raw::connect(host.mqtt(), &raw::connect("device-1", true, 0, None)).0;
    disk.freeze();
    raw.send(&raw::publish(0x32, &events("device-1"), 1, &[], "on its way"));
    let began = Instant::now();
    host.terminate();
    host.logged(&["stopping", "SIGTERM"]);
    host.terminate();
    let line = host.logged(&["switchbox: ended by a second signal (SIGTERM) while it waited for "]);
    assert!(line.contains("the next start takes up what was left"), "{line}");
    waits_for_end(&host, began);
    disk.thaw();
    assert_eq!(host.wait().code(), Some(7), "{}", host.log());
}

#[test]
fn a_host_whose_disk_turns_read_only_under_load_ends_and_has_what_it_acknowledged() {
    let host_folder = HostFolder::new();
    let Some(disk) = Disk::of_ext4(&host_folder, "128m") else { return };
    let mut host = Process::spawn_under(&host_folder, &disk.wrapper(), &[]);
    host.wait_ready();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let (mqtt, stop, count) = (host.mqtt(), stop.clone(), count.clone());
            std::thread::spawn(move || {
                let name = format!("source-{number}");
                let mut raw = raw::Raw::connect(mqtt, &raw::connect(&name, true, 0, None)).0;
                let mut acknowledged = Vec::new();
                for sent in 0.. {
                    let payload = format!("{number}-{sent}");
                    if stop.load(Ordering::Relaxed)
                        || !raw.try_send(&raw::publish(0x32, &events(&name), 1, &[], &payload))
                        || raw.try_packet().is_none_or(|packet| packet != raw::ack(0x40, 1))
                    {
                        break;
                    }
                    acknowledged.push(payload);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    until("some events", || (count.load(Ordering::Relaxed) > 200).then_some(()));
    let began = Instant::now();
    disk.fail();
    waits_for_end(&host, began);
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    assert_eq!(host.wait().code(), Some(5), "{}", host.log());
    assert!(
        host.log().contains("switchbox: the host had to stop: ") && host.log().contains("Read-only"),
        "{}",
        host.log()
    );
    let copy = HostFolder::new();
    disk.repair();
    disk.copy_data_to(&copy);
    let (code, output, log) = cli(&copy, &["check", "--data", text(&copy.data())]);
    assert_eq!(code, 0, "{output}{log}");
    let found = payloads(&copy);
    let missing: Vec<_> = acknowledged.iter().filter(|payload| !found.contains(*payload)).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", acknowledged.len());
}
