//! Registries, devices and gateways, with Google Cloud IoT Core's names.

use super::call::{
    Call,
    Shape::{Any, Other},
    delete, get, json, patch, post, verb,
};
use crate::handlers::{
    bridge,
    devices::{self, commands},
    enrollments, files, gateways, hub, registration, registries, twin,
};
use switchbox_admin_api::{
    BindDeviceToGatewayRequest, Command, Device, DeviceConfig, DeviceCredential, DeviceRegistry, Enrollment,
    HubConnectionStringRequest, HubConnectionStringResponse, InvokeMethodRequest, InvokeMethodResponse,
    ListCommandsResponse, ListDeviceConfigVersionsResponse, ListDeviceRegistriesResponse, ListDeviceStatesResponse,
    ListDevicesResponse, ListEnrollmentsResponse, ListFilesResponse, ModifyCloudToDeviceConfigRequest,
    PruneDevicesRequest, PruneDevicesResponse, PublishEventRequest, PurgeCommandsResponse, RegisterDeviceResponse,
    RegistryCredential, Scope, SendCommandToDeviceRequest, SendCommandToDeviceResponse, SetPasswordRequest,
    SetStateRequest, Twin,
};

const REGISTRIES: &str = "/v1/projects/{p}/locations/{l}/registries";
const REGISTRY: &str = "/v1/projects/{p}/locations/{l}/registries/{r}";
const DEVICES: &str = "/v1/projects/{p}/locations/{l}/registries/{r}/devices";
const DEVICE: &str = "/v1/projects/{p}/locations/{l}/registries/{r}/devices/{d}";

pub(super) fn calls() -> Vec<Call> {
    [registries(), devices(), files(), sending(), history(), bridge()].into_iter().flatten().collect()
}

fn registries() -> Vec<Call> {
    let enrollment = |rest: &str| format!("{REGISTRY}/enrollments{rest}");
    let policies =
        |verb_name| verb(REGISTRY, verb_name, registries::no_policies).says("Policies (not in this version)");
    vec![
        get(REGISTRIES, registries::list)
            .says("The registries of a location")
            .params(&["pageSize", "pageToken"])
            .answers(json::<ListDeviceRegistriesResponse>()),
        post(REGISTRIES, registries::create)
            .says("Creates a registry")
            .takes(json::<DeviceRegistry>())
            .answers(json::<DeviceRegistry>()),
        get(REGISTRY, registries::get).says("A registry").answers(json::<DeviceRegistry>()),
        patch(REGISTRY, registries::patch)
            .says("Changes the fields of a registry that the mask names")
            .params(&["updateMask"])
            .takes_if_match()
            .takes(json::<DeviceRegistry>())
            .answers(json::<DeviceRegistry>()),
        delete(REGISTRY, registries::delete).says("Deletes a registry without devices").takes_if_match(),
        verb(REGISTRY, "addCredential", registries::add_credential)
            .says("Adds the certificate of an authority")
            .takes_if_match()
            .takes(json::<RegistryCredential>())
            .answers(json::<DeviceRegistry>()),
        verb(REGISTRY, "removeCredential", registries::remove_credential)
            .says("Removes the certificate of an authority")
            .takes_if_match()
            .takes(json::<RegistryCredential>())
            .answers(json::<DeviceRegistry>()),
        verb(REGISTRY, "bindDeviceToGateway", gateways::bind)
            .says("Binds a device to a gateway, which may then attach it")
            .takes(json::<BindDeviceToGatewayRequest>()),
        verb(REGISTRY, "unbindDeviceFromGateway", gateways::unbind)
            .says("Unbinds a device from a gateway")
            .takes(json::<BindDeviceToGatewayRequest>()),
        verb(REGISTRY, "pruneDevices", registries::prune)
            .says("Deletes devices that enrolled by themselves, were never used and are not connected")
            .takes(json::<PruneDevicesRequest>())
            .answers(json::<PruneDevicesResponse>()),
        verb(REGISTRY, "hubConnectionString", hub::connection_string)
            .says("The connection string of a policy or a device, for SDKs of Azure IoT Hub; it contains a secret")
            .takes(json::<HubConnectionStringRequest>())
            .answers(json::<HubConnectionStringResponse>()),
        get(&enrollment(""), enrollments::list)
            .says("The enrolments of a registry")
            .params(&["pageSize", "pageToken"])
            .answers(json::<ListEnrollmentsResponse>()),
        post(&enrollment(""), enrollments::create)
            .says("Creates an enrolment; only this answer has its keys")
            .takes(json::<Enrollment>())
            .answers(json::<Enrollment>()),
        get(&enrollment("/{e}"), enrollments::get).says("An enrolment").answers(json::<Enrollment>()),
        delete(&enrollment("/{e}"), enrollments::delete).says("Deletes an enrolment; devices that it registered stay"),
        policies("getIamPolicy").scope(Scope::Read),
        policies("setIamPolicy"),
        policies("testIamPermissions").scope(Scope::Read),
    ]
}

fn devices() -> Vec<Call> {
    vec![
        get(DEVICES, devices::list)
            .says("The devices of a registry, in order of their ids")
            .params(&[
                "pageSize",
                "pageToken",
                "deviceIds",
                "deviceNumIds",
                "fieldMask",
                "search",
                "connected",
                "blocked",
                "differs",
                "metadata",
                "seenSince",
                "seenBefore",
                "attachedTo",
                "gatewayListOptions.gatewayType",
                "gatewayListOptions.associationsGatewayId",
                "gatewayListOptions.associationsDeviceId",
            ])
            .answers(json::<ListDevicesResponse>()),
        post(DEVICES, devices::create).says("Registers a device").takes(json::<Device>()).answers(json::<Device>()),
        get(DEVICE, devices::get).says("A device").params(&["fieldMask"]).answers(json::<Device>()),
        patch(DEVICE, devices::patch)
            .says("Changes the fields of a device that the mask names")
            .params(&["updateMask"])
            .takes_if_match()
            .takes(json::<Device>())
            .answers(json::<Device>()),
        delete(DEVICE, devices::delete).says("Deletes a device with all that belongs to it").takes_if_match(),
        verb(DEVICE, "addCredential", devices::add_credential)
            .says("Adds a public key or certificate")
            .takes_if_match()
            .takes(json::<DeviceCredential>())
            .answers(json::<Device>()),
        verb(DEVICE, "removeCredential", devices::remove_credential)
            .says("Removes a public key or certificate; connections that used it end")
            .takes_if_match()
            .takes(json::<DeviceCredential>())
            .answers(json::<Device>()),
        verb(DEVICE, "setPassword", devices::set_password)
            .says("Sets or removes the device's password")
            .takes_if_match()
            .takes(json::<SetPasswordRequest>()),
    ]
}

fn files() -> Vec<Call> {
    vec![
        get(&format!("{REGISTRY}/files"), files::list)
            .says("The files that devices of a registry have uploaded, in the order of devices and names")
            .params(&["pageSize", "pageToken", "device"])
            .answers(json::<ListFilesResponse>()),
        get(&format!("{DEVICE}/files/{{f}}"), files::get)
            .says("The bytes of a file; a slash in its name is %2F")
            .answers(Other(&["application/octet-stream"])),
        delete(&format!("{DEVICE}/files/{{f}}"), files::delete).says("Deletes a file"),
    ]
}

fn sending() -> Vec<Call> {
    vec![
        verb(DEVICE, "modifyCloudToDeviceConfig", devices::set_config)
            .says("Creates a new config version, unless the current one has the same bytes")
            .scope(Scope::Operate)
            .takes(json::<ModifyCloudToDeviceConfigRequest>())
            .answers(json::<DeviceConfig>()),
        verb(DEVICE, "sendCommandToDevice", commands::send)
            .says(
                "Sends a command: with a ttl as soon as the device is connected, otherwise only if it is connected now",
            )
            .scope(Scope::Operate)
            .takes(json::<SendCommandToDeviceRequest>())
            .answers(json::<SendCommandToDeviceResponse>()),
        verb(DEVICE, "invokeMethod", devices::invoke_method)
            .says("Calls a method and waits for the device's answer")
            .scope(Scope::Operate)
            .takes(json::<InvokeMethodRequest>())
            .answers(json::<InvokeMethodResponse>()),
    ]
}

/// What a device does that speaks HTTP.
fn bridge() -> Vec<Call> {
    vec![
        verb(DEVICE, "publishEvent", bridge::publish_event)
            .says("As the device: sends telemetry; answered when it is durable")
            .scope(Scope::Device)
            .takes(json::<PublishEventRequest>()),
        verb(DEVICE, "setState", bridge::set_state)
            .says("As the device: reports its state; answered when it is durable")
            .scope(Scope::Device)
            .takes(json::<SetStateRequest>()),
        get(&format!("{DEVICE}/config"), bridge::config)
            .says("As the device: fetches the newest config if it is newer than localVersion")
            .scope(Scope::Device)
            .params(&["localVersion"])
            .answers(json::<DeviceConfig>()),
        verb(REGISTRY, "registerDevice", registration::register)
            .says("As a device: registers it by an enrolment, with the public key in its token")
            .scope(Scope::Device)
            .answers(json::<RegisterDeviceResponse>()),
    ]
}

fn history() -> Vec<Call> {
    let device = |rest: &str| format!("{DEVICE}/{rest}");
    vec![
        get(&device("configVersions"), devices::config_versions)
            .says("The newest config versions")
            .params(&["numVersions"])
            .answers(json::<ListDeviceConfigVersionsResponse>()),
        get(&device("states"), devices::states)
            .says("The newest reported states")
            .params(&["numStates"])
            .answers(json::<ListDeviceStatesResponse>()),
        get(&device("commands"), commands::list)
            .says("The newest commands and their status")
            .params(&["pageSize", "pageToken", "status"])
            .answers(json::<ListCommandsResponse>()),
        delete(&device("commands"), commands::purge)
            .says("Purges all commands of a device that have not ended")
            .scope(Scope::Operate)
            .answers(json::<PurgeCommandsResponse>()),
        get(&device("commands/{id}"), commands::get).says("A command and its status").answers(json::<Command>()),
        delete(&device("commands/{id}"), commands::cancel)
            .says("Purges a command that has not ended")
            .scope(Scope::Operate),
        get(&device("twin"), twin::get)
            .says("Desired and reported together, with their differences and since when they differ")
            .params(&["tolerance"])
            .answers(json::<Twin>()),
        patch(&device("twin"), twin::patch)
            .says("Changes desired; the body is a JSON merge patch (RFC 7396)")
            .params(&["versionToUpdate"])
            .scope(Scope::Operate)
            .takes(Any)
            .answers(json::<Twin>()),
    ]
}
