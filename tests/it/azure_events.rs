//! The journal as an Event Hub, read by Azure's public SDK and by rhea, with only the connection string changed: all partitions,
//! places that hold over a restart, a time to begin at, one device's events by a selector. The SDKs take a host name and no port, so a
//! host has an address of loopback for itself.

use std::{collections::BTreeSet, net::TcpListener, process::Command};

use serde_json::Value;
use switchbox_tests::{HostFolder, Process, is_available, python_with, runs, until, workspace};

fn start(host_folder: &HostFolder, hub: &str) -> Process {
    host_folder.start_with(&["--azure-amqp", &format!("{hub}:5672")])
}

/// What an SDK of Event Hubs is given, with the policy's key.
fn connection_string(host_folder: &HostFolder, host: &Process, hub: &str) -> (String, String) {
    let given = host.cli(host_folder, &["hub", "connection-string", "--policy", "service", "--host-name", hub]);
    let key = given.split(';').find_map(|part| part.strip_prefix("SharedAccessKey=")).unwrap().to_owned();
    let text = format!(
        "Endpoint=sb://{hub}/;SharedAccessKeyName=service;SharedAccessKey={key};EntityPath=default;UseDevelopmentEmulator=true"
    );
    (text, key)
}

fn run(script: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(python_with("azure.eventhub").unwrap());
    command.arg(workspace().join("tests/clients/azure_events.py")).args([script]).args(arguments);
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    printed.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the SDK says of a step that fails.
fn fails(given: &str, step: &str) -> String {
    let mut command = Command::new(python_with("azure.eventhub").unwrap());
    let output = command.arg(workspace().join("tests/clients/azure_events.py")).args([given, step]).output().unwrap();
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bodies(events: &[Value]) -> BTreeSet<&str> {
    events.iter().map(|event| event["body"].as_str().unwrap()).collect()
}

#[test]
fn azures_event_hubs_sdk_reads_the_journal_over_a_restart() {
    let hub = "127.0.12.1";
    if !is_available("azure-eventhub", python_with("azure.eventhub").is_some()) {
        return;
    }
    let host_folder = HostFolder::new();
    let host = start(&host_folder, hub);
    let (given, _) = connection_string(&host_folder, &host, hub);
    let names: Vec<_> = (0..8).map(|number| format!("lamp-{number}")).collect();
    for name in &names {
        host.device(name).event(format!("{{\"first\":\"{name}\"}}"));
    }
    let checkpoints = host_folder.root().join("checkpoints.json").display().to_string();
    let first = run(&given, &["all", "8", &checkpoints]);
    assert_eq!(bodies(&first).len(), 8, "{first:?}");
    let partitions: BTreeSet<_> = first.iter().map(|event| event["partition"].as_str().unwrap()).collect();
    assert!(partitions.len() > 1, "{first:?}");
    assert!(first.iter().all(|event| event["body"].as_str().unwrap().contains(event["device"].as_str().unwrap())));
    let property_lines = run(&given, &["properties"]);
    assert_eq!(property_lines[0]["partitions"], serde_json::json!(["0", "1", "2", "3"]));
    let last_lines = run(&given, &["last"]);
    let (number, offset) = (last_lines[0]["sequence"].as_i64().unwrap(), last_lines[0]["offset"].as_str().unwrap());
    assert!(
        first.iter().any(|event| event["sequence"] == number && event["offset"] == offset),
        "{last_lines:?} {first:?}"
    );
    assert_eq!(last_lines[0]["is_later"], true, "{last_lines:?}");
    let refused = run(&given, &["send"])[0]["refused"].to_string();
    assert!(refused.contains("nothing can be sent"), "{refused}");
    let wrong_name = given.replace("EntityPath=default", "EntityPath=hall");
    let refused = fails(&wrong_name, "properties");
    assert!(refused.contains("endpoint is called"), "{refused}");
    host.kill();
    let host = start(&host_folder, hub);
    let newest = first.iter().map(|event| event["time"].as_i64().unwrap()).max().unwrap();
    until("the next second", || (switchbox_tests::now() as i64 * 1_000 > newest).then_some(()));
    for name in &names {
        host.device(name).event(format!("{{\"second\":\"{name}\"}}"));
    }
    let place_of =
        |event: &Value| (event["device"].to_string(), event["partition"].to_string(), event["offset"].to_string());
    let places = |events: &[Value]| events.iter().map(place_of).collect::<BTreeSet<_>>();
    let second = run(&given, &["all", "8", &checkpoints]);
    assert!(bodies(&second).iter().all(|body| body.contains("second")), "the checkpoints hold: {second:?}");
    let in_partition = |events: &[Value]| {
        events
            .iter()
            .map(|event| (event["device"].to_string(), event["partition"].to_string()))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(in_partition(&first), in_partition(&second), "a device stays in its partition");
    let since = run(&given, &["since", &newest.to_string(), "8"]);
    assert_eq!(places(&since), places(&second), "offsets are the same to every reader");
}

/// The SDK settles no event, so nothing may wait for that.
#[test]
fn azures_event_hubs_sdk_reads_thousands_of_events_of_one_device() {
    const EVENTS: usize = 3_000;
    let hub = "127.0.12.4";
    if !is_available("azure-eventhub", python_with("azure.eventhub").is_some()) {
        return;
    }
    let host_folder = HostFolder::new();
    let host = start(&host_folder, hub);
    let (given, _) = connection_string(&host_folder, &host, hub);
    let mut lamp = host.device("lamp-1");
    for number in 0..EVENTS {
        lamp.event(format!("{{\"number\":{number}}}"));
    }
    assert_eq!(run(&given, &["many", &EVENTS.to_string()])[0]["count"], EVENTS);
}

#[test]
fn rhea_receives_the_events_of_one_device_by_a_selector() {
    let hub = "127.0.12.2";
    let folder = workspace().join(".ci/tools/node");
    let installed = folder.join("node_modules/rhea").is_dir() && runs(Command::new("node").arg("--version"));
    if !is_available("rhea", installed) {
        return;
    }
    let host_folder = HostFolder::new();
    let host = start(&host_folder, hub);
    let (_, key) = connection_string(&host_folder, &host, hub);
    for (device, text) in [("motion-1", "a"), ("motion-2", "b"), ("motion-1", "c"), ("motion-3", "d")] {
        host.device(device).event(format!("{{\"moved\":\"{text}\"}}"));
    }
    let receive = |key: &str, device: &str, count: &str| {
        let mut script = Command::new("node");
        script.arg(workspace().join("tests/clients/azure_receiver.cjs"));
        script.args([hub, "5672", "service", key, "default", device, count, "4"]);
        script.env("NODE_PATH", folder.join("node_modules"));
        String::from_utf8(script.output().unwrap().stdout).unwrap()
    };
    assert_eq!(receive(&key, "motion-1", "2"), "{\"moved\":\"a\"}\n{\"moved\":\"c\"}\ndone\n");
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert!(receive(wrong, "motion-1", "2").starts_with("refused"), "a wrong key is accepted");
}

#[test]
fn a_port_that_is_taken_ends_the_start_before_the_data_is_touched() {
    let hub = "127.0.12.3";
    let _taken = TcpListener::bind((hub, 5672)).unwrap();
    let host_folder = HostFolder::new();
    let mut host = Process::spawn_with(&host_folder, &["--azure-amqp", &format!("{hub}:5672")]);
    assert!(!host.wait().success());
    assert!(host.log().contains("the event endpoint cannot listen on"), "{}", host.log());
}
