//! Binding devices to gateways.

use serde_json::{Value, json};

use crate::testing::TestHost;

const REGISTRY: &str = "/v1/projects/local/locations/local/registries/default";

fn verb(house: &TestHost, verb: &str, gateway: &str, device: &str) -> (u16, Value) {
    let body = json!({"gatewayId": gateway, "deviceId": device});
    house.call("POST", &format!("{REGISTRY}:{verb}"), Some(&body))
}

fn house() -> TestHost {
    let house = TestHost::new();
    for id in ["lamp", "plug"] {
        house.ok("POST", &format!("{REGISTRY}/devices"), Some(&json!({ "id": id })));
    }
    for id in ["hub", "other"] {
        let gateway = json!({"id": id, "gatewayConfig": {"gatewayType": "GATEWAY"}});
        house.ok("POST", &format!("{REGISTRY}/devices"), Some(&gateway));
    }
    house
}

fn listed(house: &TestHost, options: &str) -> Vec<String> {
    let page = house.ok("GET", &format!("{REGISTRY}/devices?gatewayListOptions.{options}"), None);
    let devices = page["devices"].as_array().cloned().unwrap_or_default();
    devices.iter().map(|device| device["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_bound_device_is_listed_from_both_ends() {
    let house = house();
    for (gateway, device) in [("hub", "lamp"), ("hub", "plug"), ("other", "lamp"), ("hub", "lamp")] {
        assert_eq!(verb(&house, "bindDeviceToGateway", gateway, device), (200, json!({})), "{gateway} {device}");
    }
    assert_eq!(listed(&house, "associationsGatewayId=hub"), ["lamp", "plug"]);
    assert_eq!(listed(&house, "associations_device_id=lamp"), ["hub", "other"]);
    assert_eq!(listed(&house, "associationsGatewayId=other"), ["lamp"]);
    let num = |id| house.device(id).num;
    assert!(house.parts.registry.bound(num("hub"), num("lamp")));
    assert!(!house.parts.registry.bound(num("other"), num("plug")));
    assert_eq!(verb(&house, "unbindDeviceFromGateway", "hub", "lamp").0, 200);
    assert_eq!(listed(&house, "associationsGatewayId=hub"), ["plug"]);
    let both = format!(
        "{REGISTRY}/devices?gatewayListOptions.associationsGatewayId=hub&gatewayListOptions.associationsDeviceId=lamp"
    );
    assert!(house.refused("GET", &both, None).2.contains("not both"));
}

#[test]
fn only_a_device_that_is_no_gateway_is_bound_and_only_to_a_gateway() {
    let house = house();
    for (gateway, device, word) in [
        ("lamp", "plug", "FAILED_PRECONDITION"),
        ("hub", "other", "FAILED_PRECONDITION"),
        ("hub", "hub", "FAILED_PRECONDITION"),
        ("hub", "nobody", "NOT_FOUND"),
        ("nobody", "lamp", "NOT_FOUND"),
    ] {
        let (_, answer) = verb(&house, "bindDeviceToGateway", gateway, device);
        assert_eq!(answer["error"]["status"], word, "{gateway} {device}: {answer}");
    }
    let (_, answer) = verb(&house, "unbindDeviceFromGateway", "hub", "lamp");
    assert_eq!(answer["error"]["status"], "NOT_FOUND");
}

#[test]
fn a_gateway_with_bound_devices_stays_one() {
    let house = house();
    verb(&house, "bindDeviceToGateway", "hub", "lamp");
    let hub = format!("{REGISTRY}/devices/hub");
    assert!(house.refused("DELETE", &hub, None).2.contains("still has bound devices; unbind them first"));
    let retype = |id: &str, kind: &str| {
        let path = format!("{REGISTRY}/devices/{id}?updateMask=gatewayConfig");
        house.call("PATCH", &path, Some(&json!({"gatewayConfig": {"gatewayType": kind}}))).0
    };
    assert_eq!((retype("hub", "NON_GATEWAY"), retype("lamp", "GATEWAY")), (400, 400));
    // A device takes its bindings with it.
    house.ok("DELETE", &format!("{REGISTRY}/devices/lamp"), None);
    assert_eq!(retype("hub", "NON_GATEWAY"), 200);
    house.ok("DELETE", &hub, None);
}
