//! Gateways with a real client: what they do for their devices, what devices and operators see of it, and how soon it ends
//! when it is taken away.

mod detaching;
mod kept;

use rumqttc::QoS;
use serde_json::{Value, json};
use switchbox_auth::signing::SigningKey;
use switchbox_support::clock;
use switchbox_tests::{Admin, CLOSED, Device, HostFolder, Process, Session, now, registered, token, until};

fn authorization(token: &str) -> String {
    json!({ "authorization": token }).to_string()
}

/// A host that refuses unknown devices, where `hub` is a gateway and `lamp` is a device, bound or not.
struct GatewaySetup {
    host_folder: HostFolder,
    host: Process,
    hub: SigningKey,
    lamp: SigningKey,
}

impl GatewaySetup {
    fn new(method: &str, bound: bool) -> Self {
        let host_folder = HostFolder::new();
        let host = host_folder.start_with(CLOSED);
        let (hub, lamp) = (registered(&host, &host_folder, "hub"), registered(&host, &host_folder, "lamp"));
        let _ = host.cli(&host_folder, &["gateway", "make", "hub", "--auth", method]);
        if bound {
            let _ = host.cli(&host_folder, &["gateway", "bind", "hub", "lamp"]);
        }
        Self { host_folder, host, hub, lamp }
    }

    fn cli(&self, arguments: &[&str]) {
        let _ = self.host.cli(&self.host_folder, arguments);
    }

    /// What the gateway speaks for now, as the command line has it.
    fn attached(&self) -> String {
        self.host.cli(&self.host_folder, &["gateway", "devices", "hub", "--attached"])
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
    let setup = GatewaySetup::new("association-only", true);
    let admin = setup.host.admin();
    drop(admin.post(&Admin::device_path("lamp", ":modifyCloudToDeviceConfig"), &json!({"binaryData": "b24="})).ok());
    let queued = json!({"binaryData": "Z28=", "subfolder": "door", "ttl": "3600s"});
    let command = admin.post(&Admin::device_path("lamp", ":sendCommandToDevice"), &queued).ok();
    let mut hub = setup.hub();
    assert_eq!(setup.lamp("connected"), false);
    assert_eq!(setup.lamp("attachedGatewayId"), Value::Null);
    attach(&mut hub, "lamp", "");
    assert_eq!((setup.lamp("connected"), setup.lamp("attachedGatewayId")), (json!(true), json!("hub")));
    assert!(setup.attached().contains("lamp"));
    attach(&mut hub, "lamp", "{}");

    hub.publish("/devices/lamp/events/button", "pressed");
    hub.publish("/devices/lamp/state", "lit");
    assert_eq!(admin.get(&Admin::device_path("lamp", "/states")).ok()["deviceStates"][0]["binaryData"], "bGl0");
    until("its telemetry", || setup.lamp("lastEventTime").as_str().map(str::to_owned));

    assert!(hub.subscribe("/devices/lamp/config") && hub.subscribe("/devices/lamp/commands/#"));
    assert_eq!(hub.message("its config", |message| message.topic == "/devices/lamp/config").text(), "on");
    assert_eq!(hub.message("its command", |message| message.topic == "/devices/lamp/commands/door").text(), "go");
    until("the config's acknowledgement", || setup.lamp("lastConfigAckTime").as_str().map(str::to_owned));
    let path = Admin::device_path("lamp", &format!("/commands/{}", command["id"].as_str().unwrap()));
    until("the command's end", || (admin.get(&path).ok()["status"] == "acknowledged").then_some(()));

    assert!(hub.subscribe("/devices/lamp/methods/#"));
    let answered = std::thread::scope(|scope| {
        let called = scope.spawn(|| {
            let call = json!({"method": "dim", "payload": "NTA=", "timeout": "60s"});
            setup.host.admin().post(&Admin::device_path("lamp", ":invokeMethod"), &call).ok()
        });
        let call = hub.message("the call", |message| message.topic.starts_with("/devices/lamp/methods/dim/request/"));
        let rid = call.topic.rsplit('/').next().unwrap().to_owned();
        hub.publish(&format!("/devices/lamp/methods/dim/response/{rid}/201"), "dimmed");
        called.join().unwrap()
    });
    assert_eq!((&answered["status"], &answered["payload"]), (&json!(201), &json!("ZGltbWVk")));

    hub.publish("/devices/lamp/detach", "");
    assert_eq!((setup.lamp("connected"), setup.lamp("attachedGatewayId")), (json!(false), Value::Null));
    assert!(!setup.attached().contains("lamp"));
    assert!(errors(&hub).is_empty(), "{:?}", errors(&hub));
    until("its end in the journal", || {
        let events = admin.get("/v1/events?device=lamp&kind=disconnected").ok().to_string();
        events.contains("detached by its gateway").then_some(())
    });
    setup.host.stop();
}

#[test]
fn each_method_accepts_a_device_that_meets_its_requirements() {
    for (method, bound, shows_token, attached) in [
        ("association-only", true, false, true),
        ("association-only", false, true, false),
        ("device-auth-token-only", false, true, true),
        ("device-auth-token-only", true, false, false),
        ("association-and-device-auth-token", true, true, true),
        ("association-and-device-auth-token", true, false, false),
        ("association-and-device-auth-token", false, true, false),
    ] {
        let setup = GatewaySetup::new(method, bound);
        let mut hub = setup.hub();
        let payload = if shows_token { authorization(&token(&setup.lamp)) } else { String::new() };
        attach(&mut hub, "lamp", &payload);
        assert_eq!(setup.lamp("connected"), attached, "{method} {bound} {shows_token}: {:?}", errors(&hub));
        // Reported beside the acknowledgement, with QoS 0.
        until("the gateway to get its error", || (errors(&hub).is_empty() == attached).then_some(()));
        assert!(!setup.host.log().contains(&payload) || payload.is_empty(), "the token is in the log");
        setup.host.stop();
    }
}

#[test]
fn a_device_that_may_not_be_attached_is_refused() {
    let setup = GatewaySetup::new("device-auth-token-only", false);
    let other = registered(&setup.host, &setup.host_folder, "other");
    let _ = registered(&setup.host, &setup.host_folder, "shut-out");
    setup.cli(&["device", "block", "shut-out"]);
    setup.cli(&["device", "create", "second-hub"]);
    setup.cli(&["gateway", "make", "second-hub"]);
    let mut hub = setup.hub();
    let lamp_authorization = authorization(&token(&setup.lamp));
    let old = authorization(&setup.lamp.token("local", now() - 7_200, now() - 3_600).unwrap());
    for (device, payload, why) in [
        ("lamp", authorization(&token(&other)), "signature"),
        ("lamp", old, "expired"),
        ("other", lamp_authorization.clone(), "signature"),
        ("shut-out", lamp_authorization.clone(), "signature"),
        ("nobody", lamp_authorization.clone(), "not registered"),
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
    attach(&mut hub, "lamp", &lamp_authorization);
    assert_eq!(setup.lamp("connected"), true);
    setup.host.stop();
}

#[test]
fn a_control_message_of_a_device_that_is_no_gateway_closes_its_connection() {
    let setup = GatewaySetup::new("association-only", true);
    let mut lamp = Device::connect(setup.host.mqtt(), Session::with_secret("lamp", &token(&setup.lamp)));
    let _ = lamp.send("/devices/hub/attach", QoS::AtLeastOnce, "");
    lamp.wait("its end", |seen| seen.ended.clone());
    setup.host.logged(&["lamp", "a control message from a device that is not a gateway"]);
    setup.host.stop();
}

#[test]
fn without_a_subscription_to_errors_only_the_log_has_it_and_nothing_is_acknowledged() {
    let setup = GatewaySetup::new("association-only", false);
    let mut hub = Device::connect(setup.host.mqtt(), Session::with_secret("hub", &token(&setup.hub)));
    let failed = hub.send("/devices/lamp/attach", QoS::AtLeastOnce, "").unwrap();
    let also = hub.send("/devices/lamp/events", QoS::AtLeastOnce, "x").unwrap();
    hub.publish("/devices/hub/events", "its own");
    setup.host.logged(&["hub", "/devices/lamp/attach", "GATEWAY_ATTACHMENT_ERROR", "lamp is not bound to hub"]);
    setup.host.logged(&["hub", "/devices/lamp/events", "GATEWAY_DEVICE_NOT_FOUND"]);
    assert!(!hub.seen().acknowledged.iter().any(|number| [failed, also].contains(number)));
    setup.host.stop();
}

#[test]
fn with_open_enrolment_a_gateway_registers_unknown_devices() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let _ = host.cli(&host_folder, &["device", "create", "hub"]);
    let _ = host.cli(&host_folder, &["gateway", "make", "hub"]);
    let mut hub = host.device("hub");
    attach(&mut hub, "sensor-1", "");
    hub.publish("/devices/sensor-1/events", "hello");
    assert!(host.cli(&host_folder, &["gateway", "devices", "hub"]).contains("sensor-1"));
    host.stop();
}
