//! Entry points of the fuzz targets: each function accepts any bytes and must return. It depends on the crates that read such
//! bytes, not on the program, so that the build stays short.

use switchbox_admin as admin;
use switchbox_auth as auth;
use switchbox_azure as azure;
use switchbox_azure_query::Query;
use switchbox_model::{DeviceId, DeviceName, RegistryName};
use switchbox_mqtt::dialect;
use switchbox_mqtt_session::topics;
use switchbox_plugin_model as plugin;
use switchbox_settings as settings;

pub use admin::fuzzing::api_bodies;
pub use auth::fuzzing::{keys, tokens};
pub use switchbox_azure_amqp::fuzzing::frames as amqp_frames;
pub use switchbox_mqtt_codec::fuzzing::packets as mqtt_packets;

/// A topic and a filter, separated by a line break; and the same as what a gateway attaches a device with.
pub fn topics(data: &[u8]) {
    let _ = dialect::attach::token(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (topic, filter) = text.split_once('\n').unwrap_or((text, text));
    let _ = DeviceName::parse(topic, &RegistryName::default_registry());
    let device = DeviceId::new("lamp-1").ok();
    for device in [device.as_ref(), None] {
        let _ = dialect::iot_core::publish(device, topic);
        let _ = dialect::iot_core::subscribe(device, filter);
        let _ = dialect::iot_core::addressee(filter);
    }
    // What is shared is a filter only.
    if topics::check_name(topic).is_ok() && !topics::is_shared(topic) {
        assert!(topics::check_filter(topic).is_ok(), "a topic is a filter, too");
        assert!(topics::matches(topic, topic), "and fits itself");
        if topics::check_filter(filter).is_ok() {
            let _ = topics::matches(topics::matched_part(filter), topic);
            assert_eq!(topics::matches("#", topic), !topic.starts_with('$'), "all but those that begin with $");
        }
    }
}

/// What a client of Azure IoT Hub sends: a user name, a token, a topic, a connection string; separated by line breaks.
pub fn azure(data: &[u8]) {
    let _ = azure::Sas::parse(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or(text);
    if let Some(name) = azure::UserName::parse(part()) {
        assert!(!name.host.is_empty() && !name.device.is_empty());
    }
    if let Ok(token) = azure::Sas::parse(part().as_bytes()) {
        assert!(token.policy.is_some() || !token.covers("hub.example", "devices"), "a device's token is for a device");
    }
    let topic = part();
    let device = DeviceId::new("lamp-1").ok();
    for device in [device.as_ref(), None] {
        let _ = dialect::Dialect::AzureIotHub.publish(device, topic, true);
        let _ = dialect::Dialect::AzureIotHub.subscribe(device, topic);
    }
    if let Ok(read) = azure::properties::read(topic) {
        let bag = azure::properties::write(read.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(azure::properties::read(&bag).as_ref(), Ok(&read), "what is written is read");
    }
    if let Ok(found) = azure::ConnectionString::parse(part()) {
        assert_eq!(azure::ConnectionString::parse(&found.to_string()), Ok(found));
    }
    if let Some(found) = azure::provisioning::RegistrationUser::parse(part()) {
        assert!(!found.scope.is_empty() && !found.registration_id.is_empty());
    }
    let _ = dialect::Dialect::AzureProvisioning.publish(None, topic, false);
    let _ = dialect::Dialect::AzureProvisioning.subscribe(None, topic);
    let header = part();
    let (name, value) = header.split_once(':').unwrap_or((header, ""));
    if let Some((name, value)) = azure::headers::read(name, value.as_bytes()) {
        let _ = azure::headers::write(&name, &value);
    }
}

pub fn plugin_settings(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = plugin::PluginSettings::parse(text);
    }
}

pub fn host_settings(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = settings::resolve(Some(text), &|_| None, &[]);
    }
}

/// The checks of a component before it is compiled.
pub fn component(data: &[u8]) {
    let _ = plugin::inspect(data);
    let _ = plugin::check_contents(data);
}

/// A query over devices, as callers of Azure IoT Hub write it: whatever is read is also evaluated, over a twin.
pub fn azure_query(text: &[u8]) {
    let Some(query) = std::str::from_utf8(text).ok().and_then(|text| Query::parse(text).ok()) else { return };
    let twin = serde_json::json!({
        "deviceId": "lamp-1", "status": "enabled", "tags": { "floor": 1, "room": "hall", "none": null },
        "properties": { "desired": { "on": true, "$version": 2 }, "reported": { "battery": 0.5, "modes": ["dim"] } },
    });
    let found = query.matches(&twin);
    if let Some(mut groups) = query.groups() {
        let added = groups.add(&twin);
        assert!(added.is_ok() && groups.rows().len() == 1);
    } else if found {
        drop(query.row(twin));
    }
}
