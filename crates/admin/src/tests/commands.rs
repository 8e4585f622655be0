//! Tests of commands: what reaches the device, in which order and how often, and how each command ends.

use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use crate::testing::{QUEUED, TestHost};
use switchbox_delivery::{DeliveryReport, DownlinkKind, Online, Outbound};
use switchbox_model::{EventData, EventKind};

const LAMP: &str = "/v1/projects/local/locations/local/registries/default/devices/lamp";

fn host_with_lamp() -> TestHost {
    let host = TestHost::new();
    host.ok("POST", LAMP.strip_suffix("/lamp").unwrap(), Some(&json!({"id": "lamp"})));
    host
}

fn lamp(rest: &str) -> String {
    format!("{LAMP}{rest}")
}

fn body(text: &str, ttl: Option<&str>) -> Value {
    let mut body = json!({"binaryData": crate::testing::base64(text.as_bytes())});
    if let Some(ttl) = ttl {
        body["ttl"] = ttl.into();
    }
    body
}

/// Sends a command. Returns its id.
fn send(host: &TestHost, text: &str, ttl: Option<&str>) -> String {
    let answer = host.ok("POST", &lamp(":sendCommandToDevice"), Some(&body(text, ttl)));
    answer["id"].as_str().unwrap().to_owned()
}

fn refused(host: &TestHost, text: &str, ttl: Option<&str>) -> (String, String) {
    let (_, word, text) = host.refused("POST", &lamp(":sendCommandToDevice"), Some(&body(text, ttl)));
    (word, text)
}

fn show(host: &TestHost, id: &str) -> Value {
    host.ok("GET", &lamp(&format!("/commands/{id}")), None)
}

fn status(host: &TestHost, id: &str) -> String {
    show(host, id)["status"].as_str().unwrap().to_owned()
}

fn wait_status(host: &TestHost, id: &str, expected: &str) -> Value {
    for _ in 0..10_000 {
        let shown = show(host, id);
        if shown["status"] == expected {
            return shown;
        }
    }
    panic!("{id} does not become {expected}: {}", show(host, id));
}

#[test]
fn a_command_says_more_beside_its_payload() {
    let host = host_with_lamp();
    let mut request = body("x", Some("60s"));
    request["properties"] = json!([{"name": "tone", "value": "high"}]);
    request["systemProperties"] = json!({"content-type": "text/plain"});
    let id = host.ok("POST", &lamp(":sendCommandToDevice"), Some(&request))["id"].as_str().unwrap().to_owned();
    let shown = show(&host, &id);
    assert_eq!(shown["properties"], request["properties"]);
    assert_eq!(shown["systemProperties"], request["systemProperties"]);
    let (_online, received) = subscribed(&host);
    let Ok(Outbound::Command(command)) = received.recv() else { panic!("no command came") };
    assert_eq!(*command.properties, [("$content-type".into(), "text/plain".into()), ("tone".into(), "high".into())]);
    let property = |value: &str| json!({"name": "a", "value": value});
    for wrong in [vec![property("x"); 101], vec![property(&"x".repeat(16 * 1_024))], vec![property("\0")]] {
        let mut request = body("x", Some("60s"));
        request["properties"] = wrong.into();
        let (_, word, _) = host.refused("POST", &lamp(":sendCommandToDevice"), Some(&request));
        assert_eq!(word, "INVALID_ARGUMENT");
    }
}

fn subscribed(host: &TestHost) -> (Online, Receiver<Outbound>) {
    let (online, received) = host.connect("lamp");
    online.subscribe(DownlinkKind::Commands);
    (online, received)
}

#[derive(Debug)]
struct Got {
    num: u64,
    id: String,
    text: String,
    again: bool,
}

fn got(received: &Receiver<Outbound>) -> Got {
    match received.recv_timeout(std::time::Duration::from_secs(60)).expect("no command came") {
        Outbound::Command(command) => Got {
            num: command.num,
            id: command.id.as_ref().into(),
            text: String::from_utf8(command.payload.to_vec()).unwrap(),
            again: command.again,
        },
        other => panic!("{other:?} came"),
    }
}

/// The connection wrote it to its socket.
fn written(online: &Online, got: Got) -> Got {
    online.acknowledged([DeliveryReport::CommandSent { num: got.num }]);
    got
}

fn acknowledge(online: &Online, got: &Got) {
    online.acknowledged([DeliveryReport::CommandAcknowledged { num: got.num, id: got.id.as_str().into() }]);
}

/// The ends of commands in the journal, oldest first.
fn ends(host: &TestHost) -> Vec<(String, String)> {
    let filter = switchbox_core::journal::EventFilter { kind: Some(EventKind::CommandSettled), ..Default::default() };
    let page = host.runtime.block_on(host.handles.journal.events(None, 10_000, &filter)).unwrap();
    let end = |data| match data {
        EventData::CommandSettled { id, status } => (id, status.as_str().to_owned()),
        other => panic!("{other:?}"),
    };
    page.items.into_iter().rev().map(|event| end(event.data)).collect()
}

fn end(id: &str, status: &str) -> (String, String) {
    (id.to_owned(), status.to_owned())
}

#[test]
fn ttl_0_goes_only_to_a_device_that_takes_it_now() {
    let host = host_with_lamp();
    for ttl in [None, Some("0s")] {
        let (word, text) = refused(&host, "on", ttl);
        assert!(word == "FAILED_PRECONDITION" && text.contains("is not connected"), "{word} {text}");
    }
    let (online, received) = host.connect("lamp");
    assert!(refused(&host, "on", None).1.contains("does not subscribe"));
    online.subscribe(DownlinkKind::Commands);
    let id = send(&host, "on", None);
    let sent = got(&received);
    assert_eq!((sent.id.as_str(), sent.text.as_str(), sent.again), (id.as_str(), "on", false));
    assert_eq!(status(&host, &id), "queued", "it is not on the wire yet");
    let sent = written(&online, sent);
    assert_eq!(status(&host, &id), "sent", "not acknowledged without a PUBACK");
    acknowledge(&online, &sent);
    assert_eq!(status(&host, &id), "acknowledged");
    // A command that is not acknowledged before the connection ends is not delivered later.
    let id = send(&host, "off", None);
    got(&received);
    online.disconnect("test");
    assert_eq!(status(&host, &id), "expired");
    let (_online, received) = subscribed(&host);
    send(&host, "next", None);
    assert_eq!(got(&received).text, "next");
}

#[test]
fn a_command_to_a_device_that_acknowledges_none_is_sent_once_and_says_so() {
    let host = host_with_lamp();
    let waiting = send(&host, "waiting", Some("60s"));
    for round in 0..3 {
        let (online, received) = host.connect_as("lamp", false);
        online.subscribe(DownlinkKind::Commands);
        if round == 0 {
            let first = written(&online, got(&received));
            assert_eq!((first.text.as_str(), first.again), ("waiting", false));
            let shown = wait_status(&host, &waiting, "sent-unconfirmed");
            assert!(shown["times"]["sent-unconfirmed"].is_string(), "{shown}");
        }
        for ttl in [Some("60s"), None] {
            let text = format!("{round} {ttl:?}");
            let id = send(&host, &text, ttl);
            let sent = written(&online, got(&received));
            assert_eq!((&sent.id, &sent.text), (&id, &text));
            assert!(wait_status(&host, &id, "sent-unconfirmed")["times"]["sent"].is_string(), "{text}");
            acknowledge(&online, &sent);
        }
        assert!(received.try_recv().is_err(), "one came twice");
        online.disconnect("test");
    }
    assert!(ends(&host).iter().all(|(_, status)| status == "sent-unconfirmed"));
    assert_eq!(ends(&host).len(), 7);
}

#[test]
fn what_may_have_been_sent_is_not_sent_again_to_a_device_that_acknowledges_none() {
    let host = host_with_lamp();
    let (online, received) = subscribed(&host);
    let id = send(&host, "on", Some("60s"));
    written(&online, got(&received));
    online.disconnect("test");
    let (online, received) = host.connect_as("lamp", false);
    online.subscribe(DownlinkKind::Commands);
    wait_status(&host, &id, "sent-unconfirmed");
    send(&host, "next", None);
    assert_eq!(got(&received).text, "next");
}

#[test]
fn a_command_waits_for_its_device_in_order_with_the_time_of_each_status() {
    let host = host_with_lamp();
    let ids: Vec<_> = (0..20).map(|n| send(&host, &n.to_string(), Some("60s"))).collect();
    assert_eq!(status(&host, &ids[0]), "queued");
    let (online, received) = subscribed(&host);
    for (n, id) in ids.iter().enumerate() {
        let sent = written(&online, got(&received));
        assert_eq!((sent.text, &sent.id), (n.to_string(), id));
        acknowledge(&online, &Got { text: String::new(), ..sent });
    }
    let shown = wait_status(&host, &ids[0], "acknowledged");
    let times = shown["times"].as_object().unwrap();
    assert_eq!(times.keys().collect::<Vec<_>>(), ["acknowledged", "queued", "sent"]);
    assert_eq!((&shown["createTime"], &shown["updateTime"]), (&times["queued"], &times["acknowledged"]));
    assert_eq!(shown["ttl"], "60s");
    assert_eq!(shown["name"], format!("{}/commands/{}", LAMP.strip_prefix("/v1/").unwrap(), ids[0]));
    assert_eq!(ends(&host), ids.iter().map(|id| end(id, "acknowledged")).collect::<Vec<_>>());
    // Without an earlier command, the next one is sent at once.
    let id = send(&host, "now", Some("60s"));
    assert_eq!(got(&received).id, id);
}

#[test]
fn no_more_is_on_its_way_than_may_be_in_flight() {
    let host = host_with_lamp();
    (0..40).for_each(|n| drop(send(&host, &n.to_string(), Some("60s"))));
    // The connection itself accepts 16, and refuses more.
    let (online, received) = subscribed(&host);
    let mut texts = Vec::new();
    while texts.len() < 40 {
        let sent = got(&received);
        texts.push(sent.text.parse::<usize>().unwrap());
        acknowledge(&online, &Got { text: String::new(), ..sent });
    }
    assert_eq!(texts, (0..40).collect::<Vec<_>>());
    assert!(received.try_recv().is_err(), "one came twice");
}

#[test]
fn what_was_sent_and_not_acknowledged_is_sent_again_and_says_so() {
    let host = host_with_lamp();
    let (online, received) = subscribed(&host);
    let id = send(&host, "on", Some("60s"));
    assert!(!got(&received).again);
    online.disconnect("test");
    let (online, received) = subscribed(&host);
    assert!(!written(&online, got(&received)).again, "it was not on the wire");
    online.disconnect("test");
    let (online, received) = subscribed(&host);
    let again = got(&received);
    assert_eq!((again.id.as_str(), again.again), (id.as_str(), true));
    acknowledge(&online, &again);
    assert_eq!(status(&host, &id), "acknowledged");
    online.disconnect("test");
    let (_online, received) = subscribed(&host);
    send(&host, "next", Some("60s"));
    assert_eq!(got(&received).text, "next", "what was acknowledged is not sent again");
}

#[test]
fn a_kept_session_sends_again_by_itself_and_delivery_does_not() {
    let host = host_with_lamp();
    let (online, received) = subscribed(&host);
    let (first, second) = (send(&host, "first", Some("60s")), send(&host, "second", Some("60s")));
    let held: Vec<_> = (0..2).map(|_| received.recv().unwrap()).collect();
    online.disconnect("test");
    host.ok("DELETE", &lamp(&format!("/commands/{second}")), None);
    let (online, received) = host.connect("lamp");
    assert_eq!(held.iter().map(|held| online.resumes(held)).collect::<Vec<_>>(), [true, false], "one has ended");
    online.subscribe(DownlinkKind::Commands);
    let third = send(&host, "third", Some("60s"));
    assert_eq!(got(&received).id, third, "the first is the session's");
    let Outbound::Command(command) = &held[0] else { panic!() };
    online.acknowledged([DeliveryReport::CommandAcknowledged { num: command.num, id: command.id.clone() }]);
    assert_eq!(status(&host, &first), "acknowledged");
}

#[test]
fn a_time_to_live_that_is_over_ends_a_command_once_queued_or_sent() {
    let host = host_with_lamp();
    let queued = send(&host, "queued", Some("0.05s"));
    let shown = wait_status(&host, &queued, "expired");
    assert!(shown["times"]["expired"].as_str().unwrap() >= shown["expireTime"].as_str().unwrap(), "{shown}");
    let (online, received) = subscribed(&host);
    let sent = send(&host, "sent", Some("0.05s"));
    let late = written(&online, got(&received));
    assert_eq!(late.id, sent);
    let shown = wait_status(&host, &sent, "expired");
    assert!(shown["times"]["sent"].is_string(), "{shown}");
    acknowledge(&online, &late);
    assert_eq!(status(&host, &sent), "expired", "a late PUBACK changes nothing");
    assert_eq!(ends(&host), [end(&queued, "expired"), end(&sent, "expired")]);
}

#[test]
fn a_full_queue_refuses_and_takes_again_when_one_has_ended() {
    let host = host_with_lamp();
    let ids: Vec<_> = (0..QUEUED).map(|n| send(&host, &n.to_string(), Some("60s"))).collect();
    let (word, text) = refused(&host, "one too many", Some("60s"));
    assert_eq!(word, "RESOURCE_EXHAUSTED");
    assert!(text.contains("50 commands wait") && text.contains("devices.queued-commands"), "{text}");
    host.ok("DELETE", &lamp(&format!("/commands/{}", ids[7])), None);
    send(&host, "fits", Some("60s"));
}

#[test]
fn a_queue_found_full_only_when_the_command_is_committed_rejects_it_visibly() {
    use switchbox_model::{Cause, Effect, Entry};
    let host = host_with_lamp();
    let device = host.device("lamp").num;
    let command = |n: usize| Effect::Command {
        device,
        id: format!("c{n}"),
        subfolder: String::new(),
        payload: bytes::Bytes::new(),
        properties: Vec::new(),
        ttl_ms: 60_000,
    };
    let effects = (0..=QUEUED).map(command).collect();
    let entry = Entry::Operator {
        time_ms: switchbox_support::clock::now_ms(),
        cause: Cause::Api { caller: "x".into() },
        effects,
    };
    host.runtime.block_on(host.handles.store.call(entry)).unwrap();
    let last = format!("c{QUEUED}");
    let shown = wait_status(&host, &last, "rejected");
    assert!(shown["times"]["rejected"].is_string(), "{shown}");
    assert_eq!(ends(&host), [end(&last, "rejected")]);
    assert_eq!(status(&host, "c0"), "queued");
}

#[test]
fn a_command_that_the_device_refuses_is_rejected() {
    let host = host_with_lamp();
    let (online, received) = subscribed(&host);
    let id = send(&host, "on", Some("60s"));
    let sent = got(&received);
    online.acknowledged([DeliveryReport::CommandRefused { num: sent.num, id: sent.id.as_str().into() }]);
    assert_eq!(status(&host, &id), "rejected");
}

#[test]
fn a_command_is_cancelled_alone_or_with_all_others_and_ends_once() {
    let host = host_with_lamp();
    let (online, received) = subscribed(&host);
    let sent = send(&host, "sent", Some("60s"));
    let on_its_way = got(&received);
    host.ok("DELETE", &lamp(&format!("/commands/{sent}")), None);
    acknowledge(&online, &on_its_way);
    assert_eq!(status(&host, &sent), "purged", "a late PUBACK changes nothing");
    let (_, word, text) = host.refused("DELETE", &lamp(&format!("/commands/{sent}")), None);
    assert!(word == "FAILED_PRECONDITION" && text.contains("has ended already: purged"), "{text}");
    assert_eq!(host.refused("DELETE", &lamp("/commands/none"), None).1, "NOT_FOUND");
    online.disconnect("test");
    let ids: Vec<_> = (0..3).map(|n| send(&host, &n.to_string(), Some("60s"))).collect();
    assert_eq!(host.ok("DELETE", &lamp("/commands"), None)["purged"], 3);
    assert_eq!(host.ok("DELETE", &lamp("/commands"), None)["purged"], 0);
    let (_online, received) = subscribed(&host);
    send(&host, "next", Some("60s"));
    assert_eq!(got(&received).text, "next", "a cancelled command is not sent");
    let expect: Vec<_> = [&sent].into_iter().chain(&ids).map(|id| end(id, "purged")).collect();
    assert_eq!(ends(&host), expect);
}

#[test]
fn a_deleted_devices_commands_are_purged() {
    let host = host_with_lamp();
    let id = send(&host, "on", Some("60s"));
    host.ok("DELETE", LAMP, None);
    assert_eq!(ends(&host), [end(&id, "purged")]);
    host.ok("POST", LAMP.strip_suffix("/lamp").unwrap(), Some(&json!({"id": "lamp"})));
    assert_eq!(host.ok("GET", &lamp("/commands"), None)["commands"], json!([]));
}

#[test]
fn commands_are_listed_by_pages_and_by_status() {
    let host = host_with_lamp();
    let ids: Vec<_> = (0..5).map(|n| send(&host, &n.to_string(), Some("60s"))).collect();
    host.ok("DELETE", &lamp(&format!("/commands/{}", ids[1])), None);
    let list = |query: &str| host.ok("GET", &lamp(&format!("/commands?{query}")), None);
    let listed = |page: &Value| {
        let commands = page["commands"].as_array().unwrap();
        commands.iter().map(|command| command["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = list("pageSize=3");
    assert_eq!(listed(&first), [&*ids[4], &*ids[3], &*ids[2]], "newest first");
    let second = list(&format!("pageSize=3&pageToken={}", first["nextPageToken"].as_str().unwrap()));
    assert_eq!(listed(&second), [&*ids[1], &*ids[0]]);
    assert!(second["nextPageToken"].is_null());
    assert_eq!(listed(&list("status=purged")), [&*ids[1]]);
    assert_eq!(listed(&list("status=queued")).len(), 4);
    for query in ["status=lost", "pageToken=soon", "colour=red"] {
        assert_eq!(host.refused("GET", &lamp(&format!("/commands?{query}")), None).1, "INVALID_ARGUMENT", "{query}");
    }
}

#[test]
fn what_is_wrong_with_a_command_is_said() {
    let host = host_with_lamp();
    for (wrong, part) in [
        (json!({"ttl": "60"}), "duration"),
        (json!({"ttl": "2592001s"}), "longer than 2592000"),
        (json!({"subfolder": "a//b"}), "empty levels"),
        (json!({"subfolder": "#", "ttl": "1s"}), "must not hold + # or NUL"),
        (json!({"subfolder": "/a", "ttl": "1s"}), "empty levels"),
    ] {
        let mut request = wrong.clone();
        request.as_object_mut().unwrap().entry("ttl").or_insert("1s".into());
        let (_, word, text) = host.refused("POST", &lamp(":sendCommandToDevice"), Some(&request));
        assert!(word == "INVALID_ARGUMENT" && text.contains(part), "{wrong}: {text}");
    }
}
