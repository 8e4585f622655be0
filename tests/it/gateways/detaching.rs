//! What detaches a device from its gateway: an operator, its token, another connection.

use super::*;

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
        let setup = GatewaySetup::new(auth, auth != "device-auth-token-only");
        let mut hub = setup.hub();
        let payload = if token_shown { authorization(&token(&setup.lamp)) } else { String::new() };
        attach(&mut hub, "lamp", &payload);
        hub.publish("/devices/lamp/events", "while it may");
        taken.iter().for_each(|arguments| setup.cli(arguments));
        let report = error(&hub, "GATEWAY_DETACHMENT_DEVICE_ERROR");
        assert_eq!((&report["device_id"], report.get("mqtt_message_info")), (&json!("lamp"), None), "{taken:?}");
        hub.publish("/devices/hub/events", "the gateway stays");
        if !taken.concat().contains(&"delete") {
            assert_eq!(setup.lamp("connected"), false, "{taken:?}");
            let (status, why) = (setup.lamp("lastErrorStatus"), report["description"].as_str().unwrap());
            assert_eq!(status, json!({"code": 7, "message": format!("detached: {why}")}));
        }
        setup.host.stop();
    }
}

#[test]
fn a_gateway_that_is_blocked_loses_its_connection_and_its_devices() {
    let setup = GatewaySetup::new("association-only", true);
    let mut hub = setup.hub();
    attach(&mut hub, "lamp", "");
    setup.cli(&["device", "block", "hub"]);
    hub.wait("its end", |seen| seen.ended.clone());
    until("the lamp to be gone", || (setup.lamp("connected") == false).then_some(()));
    setup.host.stop();
}

#[test]
fn a_device_is_detached_when_its_token_runs_out_and_a_new_one_keeps_it() {
    let setup = GatewaySetup::new("device-auth-token-only", false);
    let mut hub = setup.hub();
    // The ten minutes by which clocks may differ are nearly over.
    let brief = || authorization(&setup.lamp.token("local", now() - 3_600, now() - 596).unwrap());
    attach(&mut hub, "lamp", &brief());
    attach(&mut hub, "lamp", &authorization(&token(&setup.lamp)));
    let other = registered(&setup.host, &setup.host_folder, "other");
    attach(&mut hub, "other", &authorization(&other.token("local", now() - 3_600, now() - 597).unwrap()));
    let report = error(&hub, "GATEWAY_DETACHMENT_DEVICE_ERROR");
    assert_eq!(report["device_id"], "other");
    assert!(report["description"].as_str().unwrap().contains("expired"), "{report}");
    hub.publish("/devices/lamp/events", "still there");
    assert_eq!(errors(&hub).len(), 1, "{:?}", errors(&hub));
    // So it is when the key is given an end.
    let path = Admin::device_path("lamp", "");
    let mut credentials = setup.lamp("credentials");
    credentials[0]["expirationTime"] = clock::rfc3339(clock::now_ms() + 500).into();
    let path = format!("{path}?updateMask=credentials");
    let _ = setup.host.admin().patch(&path, &json!({ "credentials": credentials })).ok();
    until("the error to be reported", || errors(&hub).get(1).filter(|text| text.contains("expired")).cloned());
    assert_eq!(setup.lamp("connected"), false);
    setup.host.stop();
}

#[test]
fn the_newest_connection_has_the_device_and_a_gateway_does_not_take_it_back_at_once() {
    let setup = GatewaySetup::new("association-only", true);
    let second = registered(&setup.host, &setup.host_folder, "hub-2");
    setup.cli(&["gateway", "make", "hub-2"]);
    setup.cli(&["gateway", "bind", "hub-2", "lamp"]);
    let mut first = setup.hub();
    attach(&mut first, "lamp", "");
    let mut second = Device::connect(setup.host.mqtt(), Session::with_secret("hub-2", &token(&second)));
    attach(&mut second, "lamp", "");
    let report = error(&first, "GATEWAY_DETACHMENT_DEVICE_ERROR");
    assert!(report["description"].as_str().unwrap().contains("hub-2"), "{report}");
    second.publish("/devices/lamp/events", "from its new place");
    // A gateway that answers the error by attaching again has to wait: otherwise the two would loop forever.
    attach(&mut first, "lamp", "");
    let report = error(&first, "GATEWAY_ATTACHMENT_ERROR");
    assert!(report["description"].as_str().unwrap().contains("try again in"), "{report}");
    second.publish("/devices/lamp/events", "and still from there");
    // The device itself may always connect.
    let mut lamp = Device::connect(setup.host.mqtt(), Session::with_secret("lamp", &token(&setup.lamp)));
    lamp.publish("/devices/lamp/events", "by itself");
    let number = second.send("/devices/lamp/events", QoS::AtLeastOnce, "too late").unwrap();
    second.publish("/devices/hub-2/events", "its own");
    assert!(!second.seen().acknowledged.contains(&number));
    assert_eq!(setup.lamp("connected"), true);
    setup.host.stop();
}

#[test]
fn an_attached_device_takes_over_from_its_own_connection() {
    let setup = GatewaySetup::new("association-only", true);
    let lamp = Device::connect(setup.host.mqtt(), Session::with_secret("lamp", &token(&setup.lamp)));
    let mut hub = setup.hub();
    attach(&mut hub, "lamp", "");
    lamp.wait("its end", |seen| seen.ended.clone());
    hub.publish("/devices/lamp/events", "by the gateway");
    assert_eq!(setup.lamp("connected"), true);
    setup.host.stop();
}
