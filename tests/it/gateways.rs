//! Gateways with a real client: what they do for their devices, what devices and operators see of it, and how soon it ends
//! when it is taken away.

use rumqttc::QoS;
use serde_json::{Value, json};
use switchbox_auth::signing::SigningKey;
use switchbox_support::clock;
use switchbox_tests::{Admin, CLOSED, Device, Place, Process, Session, now, registered, token, until};

fn authorization(token: &str) -> String {
    json!({ "authorization": token }).to_string()
}

/// A host with closed doors where `hub` is a gateway and `lamp` is a device, bound or not.
struct House {
    place: Place,
    host: Process,
    hub: SigningKey,
    lamp: SigningKey,
}

impl House {
    fn new(method: &str, bound: bool) -> Self {
        let place = Place::new();
        let host = place.start_with(CLOSED);
        let (hub, lamp) = (registered(&host, &place, "hub"), registered(&host, &place, "lamp"));
        let _ = host.cli(&place, &["gateway", "make", "hub", "--auth", method]);
        if bound {
            let _ = host.cli(&place, &["gateway", "bind", "hub", "lamp"]);
        }
        Self { place, host, hub, lamp }
    }

    fn cli(&self, arguments: &[&str]) {
        let _ = self.host.cli(&self.place, arguments);
    }

    /// The gateway, reading its errors.
    fn hub(&self) -> Device {
        let mut hub = Device::connect(self.host.mqtt(), Session::with_secret("hub", &token(&self.hub)));
        assert!(hub.subscribe("/devices/hub/errors"));
        hub
    }

    fn lamp(&self, field: &str) -> Value {
        self.host.admin().get(&Admin::device_path("lamp", "")).ok()[field].clone()
    }
}

fn attach(hub: &mut Device, device: &str, payload: &str) {
    hub.publish(&format!("/devices/{device}/attach"), payload);
}

/// The error that comes after those that came before.
fn error(hub: &Device, kind: &str) -> Value {
    let error = hub.message(kind, |message| message.topic.ends_with("/errors") && message.text().contains(kind));
    serde_json::from_str(&error.text()).unwrap()
}

fn errors(hub: &Device) -> Vec<String> {
    let seen = hub.seen();
    let errors = seen.messages.iter().filter(|message| message.topic.ends_with("/errors"));
    errors.map(|message| message.text()).collect()
}

#[test]
fn a_gateway_does_for_its_device_what_the_device_could_do_itself() {
    let house = House::new("association-only", true);
    let admin = house.host.admin();
    drop(admin.post(&Admin::device_path("lamp", ":modifyCloudToDeviceConfig"), &json!({"binaryData": "b24="})).ok());
    let queued = json!({"binaryData": "Z28=", "subfolder": "door", "ttl": "3600s"});
    let command = admin.post(&Admin::device_path("lamp", ":sendCommandToDevice"), &queued).ok();
    let mut hub = house.hub();
    assert_eq!(house.lamp("connected"), false);
    attach(&mut hub, "lamp", "");
    assert_eq!(house.lamp("connected"), true);
    attach(&mut hub, "lamp", "{}");

    hub.publish("/devices/lamp/events/button", "pressed");
    hub.publish("/devices/lamp/state", "lit");
    assert_eq!(admin.get(&Admin::device_path("lamp", "/states")).ok()["deviceStates"][0]["binaryData"], "bGl0");
    until("its telemetry", || house.lamp("lastEventTime").as_str().map(str::to_owned));

    assert!(hub.subscribe("/devices/lamp/config") && hub.subscribe("/devices/lamp/commands/#"));
    assert_eq!(hub.message("its config", |message| message.topic == "/devices/lamp/config").text(), "on");
    assert_eq!(hub.message("its command", |message| message.topic == "/devices/lamp/commands/door").text(), "go");
    until("the config's acknowledgement", || house.lamp("lastConfigAckTime").as_str().map(str::to_owned));
    let path = Admin::device_path("lamp", &format!("/commands/{}", command["id"].as_str().unwrap()));
    until("the command's end", || (admin.get(&path).ok()["status"] == "acknowledged").then_some(()));

    assert!(hub.subscribe("/devices/lamp/methods/#"));
    let answered = std::thread::scope(|scope| {
        let called = scope.spawn(|| {
            let call = json!({"method": "dim", "payload": "NTA=", "timeout": "60s"});
            house.host.admin().post(&Admin::device_path("lamp", ":invokeMethod"), &call).ok()
        });
        let call = hub.message("the call", |message| message.topic.starts_with("/devices/lamp/methods/dim/request/"));
        let rid = call.topic.rsplit('/').next().unwrap().to_owned();
        hub.publish(&format!("/devices/lamp/methods/dim/response/{rid}/201"), "dimmed");
        called.join().unwrap()
    });
    assert_eq!((&answered["status"], &answered["payload"]), (&json!(201), &json!("ZGltbWVk")));

    hub.publish("/devices/lamp/detach", "");
    assert_eq!(house.lamp("connected"), false);
    assert!(errors(&hub).is_empty(), "{:?}", errors(&hub));
    until("its end in the journal", || {
        let events = admin.get("/v1/events?device=lamp&kind=disconnected").ok().to_string();
        events.contains("detached by its gateway").then_some(())
    });
    house.host.stop();
}

#[test]
fn each_method_lets_in_who_shows_what_it_asks_for() {
    for (method, bound, shows_token, attached) in [
        ("association-only", true, false, true),
        ("association-only", false, true, false),
        ("device-auth-token-only", false, true, true),
        ("device-auth-token-only", true, false, false),
        ("association-and-device-auth-token", true, true, true),
        ("association-and-device-auth-token", true, false, false),
        ("association-and-device-auth-token", false, true, false),
    ] {
        let house = House::new(method, bound);
        let mut hub = house.hub();
        let payload = if shows_token { authorization(&token(&house.lamp)) } else { String::new() };
        attach(&mut hub, "lamp", &payload);
        assert_eq!(house.lamp("connected"), attached, "{method} {bound} {shows_token}: {:?}", errors(&hub));
        // Told beside the acknowledgement, with QoS 0.
        until("the gateway to be told", || (errors(&hub).is_empty() == attached).then_some(()));
        assert!(!house.host.log().contains(&payload) || payload.is_empty(), "the token is in the log");
        house.host.stop();
    }
}

#[test]
fn who_may_not_be_attached_is_refused() {
    let house = House::new("device-auth-token-only", false);
    let other = registered(&house.host, &house.place, "other");
    let _ = registered(&house.host, &house.place, "shut-out");
    house.cli(&["device", "block", "shut-out"]);
    house.cli(&["device", "create", "second-hub"]);
    house.cli(&["gateway", "make", "second-hub"]);
    let mut hub = house.hub();
    let mine = authorization(&token(&house.lamp));
    let old = authorization(&house.lamp.token("local", now() - 7_200, now() - 3_600).unwrap());
    for (device, payload, why) in [
        ("lamp", authorization(&token(&other)), "signature"),
        ("lamp", old, "ran out"),
        ("other", mine.clone(), "signature"),
        ("shut-out", mine.clone(), "signature"),
        ("nobody", mine.clone(), "not registered"),
        ("second-hub", String::new(), "is a gateway itself"),
        ("hub", String::new(), "is a gateway itself"),
        ("lamp", "not json".into(), "payload must be"),
    ] {
        let before = errors(&hub).len();
        attach(&mut hub, device, &payload);
        let error = hub.wait("an error", |seen| {
            let errors = seen.messages.iter().filter(|message| message.topic.ends_with("/errors"));
            errors.map(switchbox_tests::Message::text).nth(before)
        });
        assert!(error.contains("GATEWAY_ATTACHMENT_ERROR") && error.contains(why), "{device}: {error}");
    }
    attach(&mut hub, "lamp", &mine);
    assert_eq!(house.lamp("connected"), true);
    house.host.stop();
}

#[test]
fn what_an_operator_takes_away_detaches_the_device_at_once_and_leaves_the_gateway() {
    let both = "association-and-device-auth-token";
    let block: &[&[&str]] = &[&["device", "block", "lamp"]];
    let method: &[&[&str]] = &[&["gateway", "make", "hub", "--auth", "association-and-device-auth-token"]];
    for (auth, token_shown, taken) in [
        ("association-only", false, &[&["gateway", "unbind", "hub", "lamp"][..]][..]),
        ("association-only", false, block),
        ("association-only", false, &[&["device", "delete", "lamp"]]),
        (both, true, &[&["device", "credential", "remove", "lamp", "1"]]),
        ("association-only", false, method),
        ("device-auth-token-only", true, &[&["gateway", "unmake", "hub"]]),
    ] {
        let house = House::new(auth, auth != "device-auth-token-only");
        let mut hub = house.hub();
        let payload = if token_shown { authorization(&token(&house.lamp)) } else { String::new() };
        attach(&mut hub, "lamp", &payload);
        hub.publish("/devices/lamp/events", "while it may");
        taken.iter().for_each(|arguments| house.cli(arguments));
        let told = error(&hub, "GATEWAY_DETACHMENT_DEVICE_ERROR");
        assert_eq!((&told["device_id"], told.get("mqtt_message_info")), (&json!("lamp"), None), "{taken:?}");
        hub.publish("/devices/hub/events", "the gateway stays");
        if !taken.concat().contains(&"delete") {
            assert_eq!(house.lamp("connected"), false, "{taken:?}");
            let (status, why) = (house.lamp("lastErrorStatus"), told["description"].as_str().unwrap());
            assert_eq!(status, json!({"code": 7, "message": format!("detached: {why}")}));
        }
        house.host.stop();
    }
}

#[test]
fn a_gateway_that_is_blocked_loses_its_connection_and_its_devices() {
    let house = House::new("association-only", true);
    let mut hub = house.hub();
    attach(&mut hub, "lamp", "");
    house.cli(&["device", "block", "hub"]);
    hub.wait("its end", |seen| seen.ended.clone());
    until("the lamp to be gone", || (house.lamp("connected") == false).then_some(()));
    house.host.stop();
}

#[test]
fn a_device_is_detached_when_its_token_runs_out_and_a_new_one_keeps_it() {
    let house = House::new("device-auth-token-only", false);
    let mut hub = house.hub();
    // The ten minutes by which clocks may differ are nearly over.
    let brief = || authorization(&house.lamp.token("local", now() - 3_600, now() - 596).unwrap());
    attach(&mut hub, "lamp", &brief());
    attach(&mut hub, "lamp", &authorization(&token(&house.lamp)));
    let other = registered(&house.host, &house.place, "other");
    attach(&mut hub, "other", &authorization(&other.token("local", now() - 3_600, now() - 597).unwrap()));
    let told = error(&hub, "GATEWAY_DETACHMENT_DEVICE_ERROR");
    assert_eq!(told["device_id"], "other");
    assert!(told["description"].as_str().unwrap().contains("ran out"), "{told}");
    hub.publish("/devices/lamp/events", "still there");
    assert_eq!(errors(&hub).len(), 1, "{:?}", errors(&hub));
    // So it is when the key is given an end.
    let path = Admin::device_path("lamp", "");
    let mut credentials = house.lamp("credentials");
    credentials[0]["expirationTime"] = clock::rfc3339(clock::now_ms() + 500).into();
    let path = format!("{path}?updateMask=credentials");
    let _ = house.host.admin().patch(&path, &json!({ "credentials": credentials })).ok();
    until("the lamp to be told of", || errors(&hub).get(1).filter(|told| told.contains("ran out")).cloned());
    assert_eq!(house.lamp("connected"), false);
    house.host.stop();
}

#[test]
fn a_control_message_of_a_device_that_is_no_gateway_closes_its_connection() {
    let house = House::new("association-only", true);
    let mut lamp = Device::connect(house.host.mqtt(), Session::with_secret("lamp", &token(&house.lamp)));
    let _ = lamp.send("/devices/hub/attach", QoS::AtLeastOnce, "");
    lamp.wait("its end", |seen| seen.ended.clone());
    house.host.logged(&["lamp", "a control message from a device that is no gateway"]);
    house.host.stop();
}

#[test]
fn without_a_subscription_to_errors_only_the_log_has_it_and_nothing_is_acknowledged() {
    let house = House::new("association-only", false);
    let mut hub = Device::connect(house.host.mqtt(), Session::with_secret("hub", &token(&house.hub)));
    let failed = hub.send("/devices/lamp/attach", QoS::AtLeastOnce, "").unwrap();
    let also = hub.send("/devices/lamp/events", QoS::AtLeastOnce, "x").unwrap();
    hub.publish("/devices/hub/events", "its own");
    house.host.logged(&["hub", "/devices/lamp/attach", "GATEWAY_ATTACHMENT_ERROR", "lamp is not bound to hub"]);
    house.host.logged(&["hub", "/devices/lamp/events", "GATEWAY_DEVICE_NOT_FOUND"]);
    assert!(!hub.seen().acknowledged.iter().any(|number| [failed, also].contains(number)));
    house.host.stop();
}

#[test]
fn the_newest_connection_has_the_device_and_a_gateway_does_not_take_it_back_at_once() {
    let house = House::new("association-only", true);
    let second = registered(&house.host, &house.place, "hub-2");
    house.cli(&["gateway", "make", "hub-2"]);
    house.cli(&["gateway", "bind", "hub-2", "lamp"]);
    let mut first = house.hub();
    attach(&mut first, "lamp", "");
    let mut second = Device::connect(house.host.mqtt(), Session::with_secret("hub-2", &token(&second)));
    attach(&mut second, "lamp", "");
    let told = error(&first, "GATEWAY_DETACHMENT_DEVICE_ERROR");
    assert!(told["description"].as_str().unwrap().contains("hub-2"), "{told}");
    second.publish("/devices/lamp/events", "from its new place");
    // A gateway that answers the error by attaching again is told to wait: else the two would go on for ever.
    attach(&mut first, "lamp", "");
    let told = error(&first, "GATEWAY_ATTACHMENT_ERROR");
    assert!(told["description"].as_str().unwrap().contains("try again in"), "{told}");
    second.publish("/devices/lamp/events", "and still from there");
    // The device itself always gets in.
    let mut lamp = Device::connect(house.host.mqtt(), Session::with_secret("lamp", &token(&house.lamp)));
    lamp.publish("/devices/lamp/events", "by itself");
    let number = second.send("/devices/lamp/events", QoS::AtLeastOnce, "too late").unwrap();
    second.publish("/devices/hub-2/events", "its own");
    assert!(!second.seen().acknowledged.contains(&number));
    assert_eq!(house.lamp("connected"), true);
    house.host.stop();
}

#[test]
fn an_attached_device_takes_over_from_its_own_connection() {
    let house = House::new("association-only", true);
    let lamp = Device::connect(house.host.mqtt(), Session::with_secret("lamp", &token(&house.lamp)));
    let mut hub = house.hub();
    attach(&mut hub, "lamp", "");
    lamp.wait("its end", |seen| seen.ended.clone());
    hub.publish("/devices/lamp/events", "by the gateway");
    assert_eq!(house.lamp("connected"), true);
    house.host.stop();
}

#[test]
fn a_kept_session_sends_a_devices_command_again_under_its_packet_id_when_it_is_attached_again() {
    let house = House::new("association-only", true);
    let connect = |acknowledges: bool| {
        let session = Session { acknowledges, clean: false, ..Session::with_secret("hub", &token(&house.hub)) };
        let mut hub = Device::connect(house.host.mqtt(), session);
        attach(&mut hub, "lamp", "");
        hub
    };
    let mut hub = connect(false);
    assert!(hub.subscribe("/devices/lamp/commands/#"));
    house.cli(&["device", "command", "send", "lamp", "go", "--ttl", "1h"]);
    let first = hub.message_with("go");
    assert!(!first.dup && first.packet_id > 0, "{first:?}");
    drop(hub);
    until("the gateway to be gone", || (house.lamp("connected") == false).then_some(()));
    let hub = connect(true);
    let again = hub.message_with("go");
    assert_eq!((again.dup, again.packet_id), (true, first.packet_id));
    let commands = Admin::device_path("lamp", "/commands?status=acknowledged");
    until("the acknowledgement", || {
        (house.host.admin().get(&commands).ok()["commands"].as_array()?.len() == 1).then_some(())
    });
    assert_eq!(hub.seen().messages.len(), 1, "it came twice");
    house.host.stop();
}

#[test]
fn the_gateway_over_which_a_device_was_last_heard_of_is_shown_and_outlives_the_host() {
    let House { place, host, hub: hub_key, lamp: lamp_key } = House::new("association-only", true);
    let shown = |host: &Process| {
        let config = host.admin().get(&Admin::device_path("lamp", "")).ok()["gatewayConfig"].take();
        (config["lastAccessedGatewayId"].clone(), config["lastAccessedGatewayTime"].as_str().map(str::to_owned))
    };
    assert_eq!(shown(&host), (Value::Null, None));
    let mut hub = Device::connect(host.mqtt(), Session::with_secret("hub", &token(&hub_key)));
    attach(&mut hub, "lamp", "");
    let attached = shown(&host);
    assert_eq!(attached.0, "hub");
    until("a newer time", || {
        hub.publish("/devices/lamp/events", "x");
        (shown(&host).1 > attached.1).then_some(())
    });
    hub.publish("/devices/lamp/detach", "");
    let last = shown(&host);
    // By itself: the gateway stays the one that it was.
    drop(Device::connect(host.mqtt(), Session::with_secret("lamp", &token(&lamp_key))));
    assert_eq!(shown(&host), last);
    host.stop();
    let host = place.start_with(CLOSED);
    assert_eq!(shown(&host), last);
    // What is known at the attach is in the log, whatever happens then.
    let mut hub = Device::connect(host.mqtt(), Session::with_secret("hub", &token(&hub_key)));
    attach(&mut hub, "lamp", "");
    let attached = shown(&host);
    assert!(attached.1 > last.1, "{attached:?} {last:?}");
    hub.publish("/devices/hub/events", "behind it in the log");
    host.kill();
    let host = place.start_with(CLOSED);
    assert_eq!(shown(&host), attached);
    host.stop();
}

#[test]
fn commands_for_an_attached_device_survive_sigkill_and_come_in_order_when_it_is_attached_again() {
    let House { place, host, hub: hub_key, lamp } = House::new("association-only", true);
    let _ = lamp;
    let send = |host: &Process, number: u32| {
        let body = json!({"binaryData": "", "subfolder": number.to_string(), "ttl": "3600s"});
        host.admin().post(&Admin::device_path("lamp", ":sendCommandToDevice"), &body).ok()
    };
    let connect = |host: &Process, acknowledges: bool| {
        let session = Session { acknowledges, clean: false, ..Session::with_secret("hub", &token(&hub_key)) };
        let mut hub = Device::connect(host.mqtt(), session);
        attach(&mut hub, "lamp", "");
        hub
    };
    let mut hub = connect(&host, false);
    assert!(hub.subscribe("/devices/lamp/commands/#"));
    (1..=3).for_each(|number| drop(send(&host, number)));
    hub.wait("all three", |seen| (seen.messages.len() == 3).then_some(()));
    host.kill();
    hub.wait("its end", |seen| seen.ended.clone());

    let host = place.start_with(CLOSED);
    send(&host, 4);
    assert_eq!(host.admin().get(&Admin::device_path("lamp", "")).ok()["connected"], false);
    // The session was kept, and with it the subscription: attaching is enough.
    let hub = connect(&host, true);
    hub.wait("all four", |seen| (seen.messages.len() >= 4).then_some(()));
    let got: Vec<_> = hub.seen().messages.iter().map(|message| message.topic.clone()).collect();
    assert_eq!(got, [1, 2, 3, 4].map(|number| format!("/devices/lamp/commands/{number}")));
    until("all to be acknowledged", || {
        let list = host.admin().get(&Admin::device_path("lamp", "/commands?status=acknowledged")).ok();
        (list["commands"].as_array()?.len() == 4).then_some(())
    });
    host.stop();
}

#[test]
fn with_open_doors_a_gateway_introduces_devices_that_nobody_has_registered() {
    let place = Place::new();
    let host = place.start();
    let _ = host.cli(&place, &["device", "create", "hub"]);
    let _ = host.cli(&place, &["gateway", "make", "hub"]);
    let mut hub = host.device("hub");
    attach(&mut hub, "sensor-1", "");
    hub.publish("/devices/sensor-1/events", "hello");
    assert!(host.cli(&place, &["gateway", "devices", "hub"]).contains("sensor-1"));
    host.stop();
}
