//! The host's statistics under `$SYS/`, with mosquitto's own client: only accounts with these topics get them.

use std::{collections::BTreeMap, path::Path, process::Command};

use rumqttc::QoS;
use switchbox_tests::{CLOSED, Device, HostFolder, Journal, Process, Session, is_available, runs, until};

use super::{
    bridge::{Broker, free_port, program},
    mosquitto, printed, publish,
};

fn has_mosquitto() -> bool {
    is_available(
        "mosquitto with mosquitto_sub",
        (runs(Command::new("mosquitto_sub").arg("--help")) || Path::new("/usr/bin/mosquitto_sub").exists())
            && program().is_some(),
    )
}

/// Makes the account; gives its password.
fn account(host: &Process, host_folder: &HostFolder, name: &str, lists: &[&str]) -> String {
    let _ = host.cli(host_folder, &[&["service", "create", name], lists].concat());
    host.cli(host_folder, &["service", "password", name])
}

/// This many messages, as `(retained, topic, payload)`.
fn read(host: &Process, password: &str, filter: &str, count: usize) -> Vec<(bool, String, String)> {
    let count = count.to_string();
    let options = ["-i", "any", "-u", "serviceAccounts/monitor", "-P", password, "-t", filter];
    let options = options.into_iter().chain(["-C", &count, "-F", "%r\t%t\t%p"]);
    let text = printed(mosquitto("mosquitto_sub", host, options));
    let parts = text.lines().map(|line| {
        let parts: Vec<_> = line.split('\t').collect();
        let [retained, topic, payload] = parts[..] else { panic!("{line}") };
        (retained == "1", topic.to_owned(), payload.to_owned())
    });
    parts.collect()
}

/// Topics under `$SYS/broker/`.
const STATISTICS: usize = 53;

/// The topics that a mosquitto without bridges has there.
fn of_mosquitto() -> Vec<String> {
    let folder = HostFolder::new();
    let broker = Broker::run(&program().expect("mosquitto"), &folder, free_port(), "sys_interval 1\n");
    let count = STATISTICS.to_string();
    let options = ["-t", "$SYS/#", "-C", &count, "-W", "5", "--retained-only", "-F", "%t"];
    until("mosquitto to have all its statistics", || {
        let text = broker.client("mosquitto_sub", &options).output().unwrap().stdout;
        let text = String::from_utf8(text).unwrap();
        let mut topics: Vec<_> = text.lines().map(|line| line.trim_start_matches("$SYS/broker/").to_owned()).collect();
        topics.sort();
        (topics.len() == STATISTICS).then_some(topics)
    })
}

/// The numbers of a host with one retained message, one that waits for a client that is away, and one shared subscription.
fn check_numbers(all: &BTreeMap<String, String>) {
    let number = |name: &str| all[name].parse::<f64>().unwrap_or_else(|_| panic!("{name}: {all:?}"));
    for (name, least) in [
        ("clients/connected", 2.0),
        ("clients/total", 2.0),
        ("clients/maximum", 2.0),
        ("clients/disconnected", 0.0),
        ("messages/received", 1.0),
        ("messages/sent", 2.0),
        ("publish/messages/received", 1.0),
        ("publish/messages/sent", 0.0),
        ("publish/messages/dropped", 0.0),
        ("publish/bytes/received", 1.0),
        ("clients/expired", 0.0),
        ("store/messages/bytes", 1.0),
        ("load/sockets/1min", 0.1),
        ("bytes/received", 10.0),
        ("bytes/sent", 4.0),
        ("clients/active", 2.0),
        ("clients/inactive", 1.0),
        ("heap/current", 1e6),
        ("heap/maximum", 1e6),
        ("load/connections/1min", 0.1),
        ("load/messages/received/5min", 0.0),
        ("load/bytes/sent/15min", 0.0),
        ("load/publish/dropped/1min", 0.0),
    ] {
        assert!(number(name) >= least, "{name}: {all:?}");
    }
    for (name, exactly) in [
        ("retained messages/count", 1.0),
        ("messages/stored", 2.0),
        ("store/messages/count", 2.0),
        ("shared_subscriptions/count", 1.0),
    ] {
        assert_eq!(number(name), exactly, "{name}: {all:?}");
    }
    assert!(number("subscriptions/count") >= 3.0, "{all:?}");
}

#[test]
fn an_account_that_was_given_them_reads_statistics_as_those_of_mosquitto() {
    if !has_mosquitto() {
        return;
    }
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&[CLOSED, &["--sys-interval", "1s"]].concat());
    let lists = ["--subscribe", "$SYS/#", "--subscribe", "kept/#", "--publish", "kept/#"];
    let password = account(&host, &host_folder, "monitor", &lists);
    let mut program = Device::connect(host.mqtt(), Session::of_service("monitor", "program", &password));
    assert!(program.subscribe("$SYS/broker/connection/#") && program.subscribe("$share/g/kept/#"));
    // A message waits for a client that is away.
    let away = ["-i", "away", "-u", "serviceAccounts/monitor", "-P", &password, "-c", "-q", "1", "-t", "kept/2", "-E"];
    let _ = printed(mosquitto("mosquitto_sub", &host, away));
    publish(
        &host,
        ["-i", "other", "-u", "serviceAccounts/monitor", "-P", &password, "-q", "1", "-t", "kept/2", "-m", "y"],
    );
    publish(&host, ["-i", "other", "-u", "serviceAccounts/monitor", "-P", &password, "-r", "-t", "kept/1", "-m", "x"]);
    // All there are come at once, as retained messages do.
    let all: BTreeMap<_, _> = read(&host, &password, "$SYS/#", STATISTICS)
        .into_iter()
        .inspect(|(retained, topic, _)| assert!(*retained, "{topic}"))
        .map(|(_, topic, payload)| (topic.trim_start_matches("$SYS/broker/").to_owned(), payload))
        .collect();
    assert_eq!(all.len(), STATISTICS, "{all:?}");
    assert_eq!(all["version"], format!("switchbox version {}", env!("CARGO_PKG_VERSION")));
    assert!(all["uptime"].ends_with(" seconds"), "{all:?}");
    check_numbers(&all);
    assert_eq!(all.into_keys().collect::<Vec<_>>(), of_mosquitto());
    // What changes comes at each interval, and not as a retained message.
    let uptime = read(&host, &password, "$SYS/broker/uptime", 3);
    assert_eq!(uptime.iter().map(|(retained, ..)| *retained).collect::<Vec<_>>(), [true, false, false], "{uptime:?}");
    let seconds: Vec<u64> =
        uptime.iter().map(|(.., payload)| payload.trim_end_matches(" seconds").parse().unwrap()).collect();
    assert!(seconds[0] <= seconds[1] && seconds[1] < seconds[2], "{seconds:?}");
    host.stop();
    // Nothing of it is kept.
    let (_, loaded) = Journal::open(&host_folder);
    let kept: Vec<_> = loaded.broker.retained.iter().map(|doc| &*doc.message.topic).collect();
    assert_eq!(kept, ["kept/1"]);
}

#[test]
fn neither_a_device_nor_an_account_with_a_wildcard_gets_statistics_and_no_client_publishes_them() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&["--sys-interval", "1s"]);
    let mut device = host.device("lamp-1");
    for (filter, granted) in [("$SYS/#", false), ("$SYS/broker/uptime", false), ("$share/g/$SYS/#", false), ("#", true)]
    {
        assert_eq!(device.subscribe(filter), granted, "{filter}");
    }
    let password = account(&host, &host_folder, "all", &["--subscribe", "#", "--publish", "#"]);
    let mut all = Device::connect(host.mqtt(), Session::of_service("all", "program", &password));
    assert!(all.subscribe("#") && all.subscribe("+/broker/#") && !all.subscribe("$SYS/#"));
    let password = account(&host, &host_folder, "monitor", &["--subscribe", "$SYS/#", "--publish", "#"]);
    let mut monitor = Device::connect(host.mqtt(), Session::of_service("monitor", "program", &password));
    assert!(monitor.subscribe("$SYS/broker/uptime"));
    let _ = monitor.message_with("seconds");
    // Statistics were published meanwhile; behind them comes what a wildcard does match.
    monitor.publish("last", "word");
    for client in [&mut device, &mut all] {
        let first = client.message("any message", |_| true);
        assert_eq!((&*first.topic, &*first.text()), ("last", "word"));
    }
    for forged in [&mut monitor, &mut device] {
        let _ = forged.send("$SYS/broker/uptime", QoS::AtLeastOnce, "0 seconds");
        forged.ended();
    }
    host.stop();
}

#[test]
fn there_are_none_where_they_are_off() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&[CLOSED, &["--sys-interval", "0s"]].concat());
    let lists = ["--subscribe", "$SYS/#", "--subscribe", "last", "--publish", "last"];
    let password = account(&host, &host_folder, "monitor", &lists);
    let mut monitor = Device::connect(host.mqtt(), Session::of_service("monitor", "program", &password));
    assert!(monitor.subscribe("$SYS/#") && monitor.subscribe("last"));
    monitor.publish("last", "word");
    assert_eq!(monitor.message("any message", |_| true).text(), "word");
    host.stop();
}
