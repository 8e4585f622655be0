//! Entry points for fuzzing the parsers of bodies. Only pure code is called: nothing is stored, sent or hashed.

use axum::{extract::Query, http::Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    convert::{self, Mask, Objects, Params, read},
    edit,
    handlers::{bridge, devices::commands::check_subfolder, follow},
    tokens,
};
use switchbox_admin_api::{
    Base64, BindDeviceToGatewayRequest, CreateTokenRequest, Device, DeviceRegistry, GrantRequest, InvokeMethodRequest,
    ModifyCloudToDeviceConfigRequest, PluginPatch, PublishEventRequest, RedriveDeadLettersRequest,
    SendCommandToDeviceRequest, ServiceAccount, SetPasswordRequest, SetStateRequest, Span, TopicMessage,
};
use switchbox_core::{explain, twin};
use switchbox_model::{
    DeviceId, PayloadLimits, PluginName, RegistryName, ServiceName,
    registry::{DeviceSpec, RegistrySpec, ServiceSpec},
};
use switchbox_mqtt_session::topics::{self, TopicError};
use switchbox_plugin_model::PluginSettings;
use switchbox_store::{RegistryDoc, ServiceDoc};
use switchbox_support::metrics::Metrics;

/// All fields that an update may name.
const DEVICE_FIELDS: &str = "blocked,metadata,credentials,log_level,gatewayConfig,methodEndpoint";
const REGISTRY_FIELDS: &str =
    "logLevel,http_config,mqttConfig,credentials,eventNotificationConfigs,stateNotificationConfig";
const SERVICE_FIELDS: &str = "disabled,credentials,publish,subscribe";

/// The first byte selects the type of the body.
pub fn api_bodies(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 19 {
        0 => device(body),
        1 => registry(body),
        2 => enabled(body),
        3 => service(body),
        4 => event(body),
        5 => state(body),
        6 => config(body),
        7 => command(body),
        8 => method(body),
        9 => grants(body),
        10 => settings(body),
        11 => desired(body),
        12 => query(body),
        13 => token(body),
        14 => drop(read::<SetPasswordRequest>(body)),
        15 => binding(body),
        16 => dead_letters(body),
        17 => places(body),
        _ => topic_message(body),
    }
}

/// Two texts, separated by a line break.
fn two(body: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text.split_once('\n').unwrap_or((text, "")))
}

fn device(body: &[u8]) {
    let (Ok(mut request), Ok(mut again)) = (read::<Device>(body), read::<Device>(body)) else { return };
    // An omitted key is generated randomly, so two conversions differ.
    again.symmetric_keys = None;
    let _ = request.symmetric_keys.take().map(convert::symmetric_keys);
    let _ = request.id.as_deref().map(DeviceId::new);
    let endpoint = convert::endpoint(&request);
    if let Some(payload) = request.config.as_ref().and_then(|config| config.binary_data.as_ref()) {
        bytes(payload);
    }
    // A device is created with both, and its endpoint is checked first.
    let (Ok(_), Ok(spec)) = (endpoint, convert::device_spec(request)) else { return };
    let Some(all) = Mask::parse(Some(DEVICE_FIELDS)) else { return };
    let mut changed = DeviceSpec::default();
    let patched = convert::device_patch(again, &all).map(|patch| patch.apply(&mut changed));
    assert_eq!(patched.map(|()| &changed), Ok(&spec), "an update of all fields makes the device that was written");
}

fn registry(body: &[u8]) {
    let Ok(request) = read::<DeviceRegistry>(body) else { return };
    let name = RegistryName::of("local", "local", request.id.as_deref().unwrap_or_default());
    let (Ok(spec), Ok(name)) = (convert::registry_spec(request), name) else { return };
    let Some(all) = Mask::parse(Some(REGISTRY_FIELDS)) else { return };
    let mut changed = RegistrySpec::default();
    let patched = convert::registry_patch(spec.clone(), &all).map(|patch| patch.apply(&mut changed));
    assert_eq!(patched.map(|()| &changed), Ok(&spec), "an update of all fields makes the registry that was written");
    let doc = RegistryDoc { name, spec, enrollments: std::sync::Arc::default(), created_ms: 0, revision: 0 };
    for shown in both(&convert::registry(&doc)) {
        let again = read(shown.as_bytes()).and_then(convert::registry_spec);
        assert_eq!(again.as_ref(), Ok(&doc.spec), "what is shown can be sent back");
    }
}

fn service(body: &[u8]) {
    let Ok(request) = read::<ServiceAccount>(body) else { return };
    let name = ServiceName::new(request.id.as_deref().unwrap_or_default());
    let (Ok(spec), Ok(name)) = (convert::service_spec(request), name) else { return };
    let Some(all) = Mask::parse(Some(SERVICE_FIELDS)) else { return };
    let mut changed = ServiceSpec::default();
    let patched = convert::service_patch(spec.clone(), &all).map(|patch| patch.apply(&mut changed));
    assert_eq!(patched.map(|()| &changed), Ok(&spec), "an update of all fields makes the account that was written");
    let doc = ServiceDoc { name, spec, password: None, created_ms: 0, revision: 0 };
    for shown in both(&convert::service(&doc)) {
        let again = read(shown.as_bytes()).and_then(convert::service_spec);
        assert_eq!(again.as_ref(), Ok(&doc.spec), "what is shown can be sent back");
    }
}

/// An answer with enums as names, and as numbers.
fn both<T: Serialize + JsonSchema + 'static>(answer: &T) -> [String; 2] {
    let names = serde_json::to_value(answer).unwrap_or_default();
    let mut numbers = names.clone();
    Objects::of::<T>().number(&mut numbers);
    [names.to_string(), numbers.to_string()]
}

/// A settings file.
fn enabled(body: &[u8]) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    let Ok(changed) = edit::set_enabled(text, true) else { return };
    let after = edit::parse(&changed).ok().and_then(|mut after| after.remove("enabled"));
    assert_eq!(after, Some(toml::Value::Boolean(true)), "the file says so afterwards");
}

fn event(body: &[u8]) {
    let Ok(request) = read::<PublishEventRequest>(body) else { return };
    subfolder(&request.subfolder);
    bytes(&request.binary_data);
    let _ = bridge::within("telemetry", PayloadLimits::default().telemetry(), request.binary_data);
}

fn state(body: &[u8]) {
    let Ok(request) = read::<SetStateRequest>(body) else { return };
    bytes(&request.state.binary_data);
    let _ = bridge::within("the state", PayloadLimits::default().state(), request.state.binary_data);
}

fn config(body: &[u8]) {
    let Ok(request) = read::<ModifyCloudToDeviceConfigRequest>(body) else { return };
    bytes(&request.binary_data);
    let again = serde_json::to_vec(&request).ok().and_then(|written| read(&written).ok());
    assert_eq!(again, Some(request), "a request is read as it is written");
}

fn command(body: &[u8]) {
    let Ok(request) = read::<SendCommandToDeviceRequest>(body) else { return };
    subfolder(&request.subfolder);
    bytes(&request.binary_data);
    span(request.ttl);
}

fn method(body: &[u8]) {
    let Ok(request) = read::<InvokeMethodRequest>(body) else { return };
    let _ = topics::check_name(&request.method);
    bytes(&request.payload);
    span(request.timeout);
}

fn bytes(bytes: &Base64) {
    let again = serde_json::to_value(bytes).and_then(serde_json::from_value::<Base64>);
    assert_eq!(again.ok().as_ref(), Some(bytes), "bytes are read as they are written");
}

fn span(span: Option<Span>) {
    let Some(span) = span else { return };
    assert!(serde_json::from_value::<Span>(span.to_string().into()).is_ok(), "a duration is read as it is written");
}

fn subfolder(subfolder: &str) {
    if check_subfolder(subfolder).is_ok() {
        let problem = topics::check_name(subfolder);
        assert!(!matches!(problem, Err(TopicError::Nul | TopicError::Wildcard)), "it becomes topic levels");
    }
}

/// An operator's consent, and the settings file that it is written into.
fn grants(body: &[u8]) {
    let Some((body, text)) = two(body) else { return };
    let Ok(GrantRequest { grants: Some(granted) }) = read::<GrantRequest>(body.as_bytes()) else { return };
    let Ok(text) = edit::set_grants(text, &granted) else { return };
    if let Ok(settings) = PluginSettings::parse(&text) {
        assert_eq!(settings.grants, Some(granted), "a plugin has the grants that were given, neither more nor fewer");
    }
}

/// A change of a settings file, and the file.
fn settings(body: &[u8]) {
    let Some((body, text)) = two(body) else { return };
    let Ok(request) = read::<PluginPatch>(body.as_bytes()) else { return };
    let Ok(merged) = edit::merge_settings(text, &request.settings) else { return };
    let _ = request.enabled.map(|enabled| edit::set_enabled(&merged, enabled));
    let merged = edit::parse(&merged);
    assert!(merged.is_ok(), "what is written can be read again");
    let Some(toml::Value::Table(merged)) = merged.ok().and_then(|mut merged| merged.remove("settings")) else { return };
    for (key, value) in &request.settings {
        assert_eq!(merged.contains_key(key), !value.is_null(), "null takes {key:?} away, all else puts it there");
    }
}

/// A merge patch, and the type of its target.
fn desired(body: &[u8]) {
    let Some((patch, desired)) = two(body) else { return };
    let Ok(merged) = twin::patched(desired.as_bytes(), patch.as_bytes()) else { return };
    let merged = merged.unwrap_or_else(|| desired.to_owned().into());
    let both = switchbox_rules::json::object(&merged).ok().zip(switchbox_rules::json::object(patch.as_bytes()).ok());
    let follows = both.is_some_and(|(merged, patch)| {
        patch.sorted().all(|member| merged.get(&member.key).is_some() == (member.value.text != "null"))
    });
    assert!(follows, "desired is an object, without what the patch takes away and with all else that it names");
    assert_eq!(twin::patched(&merged, patch.as_bytes()), Ok(None), "the same patch once more changes nothing");
}

/// The query of a URL, and the type that its mask is for.
fn query(body: &[u8]) {
    let Some((query, shown)) = two(body) else { return };
    let Ok(uri) = format!("/?{query}").parse::<Uri>() else { return };
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(&uri) else { return };
    let Ok(params) = Params::new(pairs, Metrics::default()) else { return };
    let _ = params.only(&["pageSize", "pageToken", "fieldMask"]);
    let _ = params.all("deviceIds");
    let _ = params.one("kind").map(convert::event_kind);
    let _ = params.one("status").map(convert::command_status);
    let _ = params.one("gatewayListOptions.gatewayType").map(convert::gateway_filter);
    if let Ok(number) = params.number("pageSize", 50, 1_000) {
        assert!((1..=1_000).contains(&number), "a page of {number}");
    }
    if let Ok(Some(place)) = params.position() {
        let again = Params::new(vec![("pageToken".to_owned(), convert::token(place))], Metrics::default());
        let again = again.and_then(|params| params.position());
        assert_eq!(again, Ok(Some(place)), "a page's token names its place");
    }
    let _ = params.update_mask("blocked");
    if let Ok(value) = serde_json::from_str::<Value>(shown) {
        let mask = convert::list_mask(params.mask("fieldMask"));
        let cut = mask.cut(&value);
        assert_eq!(mask.cut(&cut), cut, "what the mask names is all that is left");
    }
}

fn token(body: &[u8]) {
    let Ok(request) = read::<CreateTokenRequest>(body) else { return };
    assert!(request.scope.needs_token(), "no token has the scope of calls without a token");
    let _ = tokens::check_name(&request.name);
}

fn binding(body: &[u8]) {
    let Ok(request) = read::<BindDeviceToGatewayRequest>(body) else { return };
    let _ = (DeviceId::new(&request.gateway_id), DeviceId::new(&request.device_id));
}

fn dead_letters(body: &[u8]) {
    let Ok(request) = read::<RedriveDeadLettersRequest>(body) else { return };
    let _ = request.plugin.as_deref().map(PluginName::new);
}

/// A message that an operator publishes on an ordinary topic.
fn topic_message(body: &[u8]) {
    let Ok(request) = read::<TopicMessage>(body) else { return };
    let _ = topics::check_name(&request.topic);
    bytes(&request.binary_data);
    let again = serde_json::to_vec(&request).ok().and_then(|written| read(&written).ok());
    assert_eq!(again, Some(request), "a message is read as it is written");
}

/// The id of an explanation, and the position of a follower.
fn places(body: &[u8]) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    let _ = explain::Id::parse(text);
    if let Ok(cursor) = follow::read_cursor(text) {
        assert_eq!(follow::read_cursor(&follow::write_cursor(cursor)), Ok(cursor), "a place is read as it is written");
    }
}
