//! Tests of binding devices to gateways.

use serde_json::{Value, json};

use crate::testing::TestHost;

const REGISTRY: &str = "/v1/projects/local/locations/local/registries/default";

fn verb(host: &TestHost, verb: &str, gateway: &str, device: &str) -> (u16, Value) {
    let body = json!({"gatewayId": gateway, "deviceId": device});
    host.call("POST", &format!("{REGISTRY}:{verb}"), Some(&body))
}

fn host() -> TestHost {
    let host = TestHost::new();
    for id in ["lamp", "plug"] {
        host.ok("POST", &format!("{REGISTRY}/devices"), Some(&json!({ "id": id })));
    }
    for id in ["hub", "other"] {
        let gateway = json!({"id": id, "gatewayConfig": {"gatewayType": "GATEWAY"}});
        host.ok("POST", &format!("{REGISTRY}/devices"), Some(&gateway));
    }
    host
}

fn listed(host: &TestHost, options: &str) -> Vec<String> {
    let page = host.ok("GET", &format!("{REGISTRY}/devices?gatewayListOptions.{options}"), None);
    let devices = page["devices"].as_array().cloned().unwrap_or_default();
    devices.iter().map(|device| device["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_bound_device_is_listed_from_both_ends() {
    let host = host();
    for (gateway, device) in [("hub", "lamp"), ("hub", "plug"), ("other", "lamp"), ("hub", "lamp")] {
        assert_eq!(verb(&host, "bindDeviceToGateway", gateway, device), (200, json!({})), "{gateway} {device}");
    }
    assert_eq!(listed(&host, "associationsGatewayId=hub"), ["lamp", "plug"]);
    assert_eq!(listed(&host, "associations_device_id=lamp"), ["hub", "other"]);
    assert_eq!(listed(&host, "associationsGatewayId=other"), ["lamp"]);
    let num = |id| host.device(id).num;
    assert!(host.handles.registry.is_bound(num("hub"), num("lamp")));
    assert!(!host.handles.registry.is_bound(num("other"), num("plug")));
    assert_eq!(verb(&host, "unbindDeviceFromGateway", "hub", "lamp").0, 200);
    assert_eq!(listed(&host, "associationsGatewayId=hub"), ["plug"]);
    let both = format!(
        "{REGISTRY}/devices?gatewayListOptions.associationsGatewayId=hub&gatewayListOptions.associationsDeviceId=lamp"
    );
    assert!(host.refused("GET", &both, None).2.contains("not both"));
}

#[test]
fn only_a_device_that_is_no_gateway_is_bound_and_only_to_a_gateway() {
    let host = host();
    for (gateway, device, word) in [
        ("lamp", "plug", "FAILED_PRECONDITION"),
        ("hub", "other", "FAILED_PRECONDITION"),
        ("hub", "hub", "FAILED_PRECONDITION"),
        ("hub", "nobody", "NOT_FOUND"),
        ("nobody", "lamp", "NOT_FOUND"),
    ] {
        let (_, answer) = verb(&host, "bindDeviceToGateway", gateway, device);
        assert_eq!(answer["error"]["status"], word, "{gateway} {device}: {answer}");
    }
    let (_, answer) = verb(&host, "unbindDeviceFromGateway", "hub", "lamp");
    assert_eq!(answer["error"]["status"], "NOT_FOUND");
}

#[test]
fn a_gateway_with_bound_devices_stays_one() {
    let host = host();
    verb(&host, "bindDeviceToGateway", "hub", "lamp");
    let hub = format!("{REGISTRY}/devices/hub");
    let command = json!({"binaryData": "b24=", "ttl": "60s"});
    let id = host.ok("POST", &format!("{hub}:sendCommandToDevice"), Some(&command))["id"].take();
    assert!(host.refused("DELETE", &hub, None).2.contains("still has bound devices; unbind them first"));
    let command = host.ok("GET", &format!("{hub}/commands/{}", id.as_str().unwrap()), None);
    assert_eq!(command["status"], "queued", "a call that is refused has changed nothing");
    let retype = |id: &str, kind: &str| {
        let path = format!("{REGISTRY}/devices/{id}?updateMask=gatewayConfig");
        host.call("PATCH", &path, Some(&json!({"gatewayConfig": {"gatewayType": kind}}))).0
    };
    assert_eq!((retype("hub", "NON_GATEWAY"), retype("lamp", "GATEWAY")), (400, 400));
    let both = json!({"gatewayConfig": {"gatewayType": "NON_GATEWAY"}, "methodEndpoint": {"url": "http://localhost/"}});
    assert_eq!(host.call("PATCH", &format!("{hub}?updateMask=methodEndpoint,gatewayConfig"), Some(&both)).0, 400);
    assert!(host.ok("GET", &hub, None).get("methodEndpoint").is_none(), "a call that is refused has changed nothing");
    // Deleting a device deletes its bindings.
    host.ok("DELETE", &format!("{REGISTRY}/devices/lamp"), None);
    assert_eq!(retype("hub", "NON_GATEWAY"), 200);
    host.ok("DELETE", &hub, None);
}
