//! What of a gateway and its devices outlives a connection and the host.

use super::*;

#[test]
fn a_kept_session_sends_a_devices_command_again_under_its_packet_id_when_it_is_attached_again() {
    let setup = GatewaySetup::new("association-only", true);
    let connect = |acknowledges: bool| {
        let session = Session { acknowledges, clean: false, ..Session::with_secret("hub", &token(&setup.hub)) };
        let mut hub = Device::connect(setup.host.mqtt(), session);
        attach(&mut hub, "lamp", "");
        hub
    };
    let mut hub = connect(false);
    assert!(hub.subscribe("/devices/lamp/commands/#"));
    setup.cli(&["device", "command", "send", "lamp", "go", "--ttl", "1h"]);
    let first = hub.message_with("go");
    assert!(!first.dup && first.packet_id > 0, "{first:?}");
    drop(hub);
    until("the gateway to be gone", || (setup.lamp("connected") == false).then_some(()));
    let hub = connect(true);
    let again = hub.message_with("go");
    assert_eq!((again.dup, again.packet_id), (true, first.packet_id));
    let commands = Admin::device_path("lamp", "/commands?status=acknowledged");
    until("the acknowledgement", || {
        (setup.host.admin().get(&commands).ok()["commands"].as_array()?.len() == 1).then_some(())
    });
    assert_eq!(hub.seen().messages.len(), 1, "it came twice");
    setup.host.stop();
}

#[test]
fn the_last_gateway_of_a_device_is_shown_and_survives_a_restart() {
    let GatewaySetup { host_folder, host, hub: hub_key, lamp: lamp_key } = GatewaySetup::new("association-only", true);
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
    let host = host_folder.start_with(CLOSED);
    assert_eq!(shown(&host), last);
    // What is known at the attach is in the log, whatever happens then.
    let mut hub = Device::connect(host.mqtt(), Session::with_secret("hub", &token(&hub_key)));
    attach(&mut hub, "lamp", "");
    let attached = shown(&host);
    assert!(attached.1 > last.1, "{attached:?} {last:?}");
    hub.publish("/devices/hub/events", "behind it in the journal");
    host.kill();
    let host = host_folder.start_with(CLOSED);
    assert_eq!(shown(&host), attached);
    host.stop();
}

#[test]
fn commands_for_an_attached_device_survive_sigkill_and_come_in_order_when_it_is_attached_again() {
    let GatewaySetup { host_folder, host, hub: hub_key, lamp } = GatewaySetup::new("association-only", true);
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

    let host = host_folder.start_with(CLOSED);
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
