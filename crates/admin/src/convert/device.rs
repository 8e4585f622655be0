//! Devices between the API's JSON and the model.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Mask,
    body::null_is_default,
    config,
    enums::{self, EnumStyle},
    state,
    symmetric::SymmetricKeysIn,
    validity,
};
use crate::error::Error;
use switchbox_core::{
    registry::{Device, Registered},
    twin,
};
use switchbox_model::{
    limits::fields,
    patch::{DevicePatch, GatewayPatch},
    registry::{Credential, DeviceError, DeviceSpec, GatewayAccess, GatewayAuth, MethodEndpoint},
};
use switchbox_proxy as proxy;
use switchbox_support::clock;

/// A device as a caller writes it. What only the host says (`numId`, `lastEventTime`, …) is taken and without effect, so
/// that a caller can send back what it was given.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeviceIn {
    /// Bounded by `fields::ID`.
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    blocked: bool,
    /// Bounded by `fields::METADATA`.
    #[serde(default, deserialize_with = "null_is_default")]
    metadata: BTreeMap<String, String>,
    /// Bounded by `fields::CREDENTIALS`.
    #[serde(default, deserialize_with = "null_is_default")]
    credentials: Vec<CredentialIn>,
    #[serde(alias = "gateway_config")]
    gateway_config: Option<GatewayIn>,
    #[serde(alias = "log_level")]
    log_level: Option<Value>,
    /// Switchbox's own: where the device's methods are called over HTTP. Empty = nowhere.
    #[serde(alias = "method_endpoint")]
    method_endpoint: Option<EndpointIn>,
    /// Given at creation, the device's symmetric keys: those that are left out are made.
    #[serde(alias = "symmetric_keys")]
    pub(crate) symmetric_keys: Option<SymmetricKeysIn>,
    /// Given at creation, the device's first config.
    pub(crate) config: Option<ConfigIn>,
    #[serde(rename = "name")]
    _name: Option<Value>,
    #[serde(rename = "numId")]
    _num_id: Option<Value>,
    #[serde(rename = "connected")]
    _connected: Option<Value>,
    #[serde(rename = "state")]
    _state: Option<Value>,
    #[serde(rename = "createTime")]
    _create_time: Option<Value>,
    #[serde(rename = "lastHeartbeatTime")]
    _last_heartbeat_time: Option<Value>,
    #[serde(rename = "lastEventTime")]
    _last_event_time: Option<Value>,
    #[serde(rename = "lastStateTime")]
    _last_state_time: Option<Value>,
    #[serde(rename = "lastConfigAckTime")]
    _last_config_ack_time: Option<Value>,
    #[serde(rename = "lastConfigSendTime")]
    _last_config_send_time: Option<Value>,
    #[serde(rename = "lastErrorTime")]
    _last_error_time: Option<Value>,
    #[serde(rename = "lastErrorStatus")]
    _last_error_status: Option<Value>,
    #[serde(rename = "hasPassword")]
    _has_password: Option<Value>,
    #[serde(rename = "hasSymmetricKeys")]
    _has_symmetric_keys: Option<Value>,
    #[serde(rename = "warnings")]
    _warnings: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigIn {
    /// Bounded by `fields::CONFIG`.
    #[serde(alias = "binary_data")]
    pub(crate) binary_data: Option<super::Base64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CredentialIn {
    #[serde(alias = "public_key")]
    public_key: KeyIn,
    /// Bounded by the body: only a time is taken.
    #[serde(alias = "expiration_time")]
    expiration_time: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyIn {
    format: Value,
    /// Bounded by `fields::CREDENTIAL`.
    key: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GatewayIn {
    #[serde(alias = "gateway_type")]
    gateway_type: Option<Value>,
    #[serde(alias = "gateway_auth_method")]
    gateway_auth_method: Option<Value>,
    #[serde(rename = "lastAccessedGatewayId")]
    _last_accessed_gateway_id: Option<Value>,
    #[serde(rename = "lastAccessedGatewayTime")]
    _last_accessed_gateway_time: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointIn {
    /// Bounded by `fields::ENDPOINT_URL`.
    #[serde(default)]
    url: String,
}

impl DeviceIn {
    /// Where its methods are called over HTTP, checked.
    pub(crate) fn endpoint(&self) -> Result<Option<MethodEndpoint>, Error> {
        let Some(EndpointIn { url }) = &self.method_endpoint else { return Ok(None) };
        if url.is_empty() {
            return Ok(None);
        }
        fields::ENDPOINT_URL.check_len("methodEndpoint.url", url.len())?;
        proxy::check_url(url).map_err(|error| Error::invalid(format!("methodEndpoint.url: {error}")))?;
        Ok(Some(MethodEndpoint { url: url.clone() }))
    }

    /// What an operator says of the device.
    pub(crate) fn spec(self) -> Result<DeviceSpec, Error> {
        twin::tolerance(&self.metadata)
            .map_err(|error| Error::invalid(format!("metadata.{}: {error}", twin::TOLERANCE)))?;
        Ok(DeviceSpec {
            blocked: self.blocked,
            metadata: self.metadata,
            credentials: self.credentials.into_iter().map(credential).collect::<Result<_, _>>()?,
            gateway: self.gateway_config.map_or(Ok(None), |config| gateway(&config))?,
            log_level: self
                .log_level
                .map(|level| enums::read("logLevel", &level, enums::LOG_LEVELS).map(str::to_owned))
                .transpose()?,
            symmetric_keys: self.symmetric_keys.map(SymmetricKeysIn::keys).transpose()?.map(Box::new),
        })
    }
}

pub(crate) fn credential(credential: CredentialIn) -> Result<Credential, Error> {
    let format = enums::read("publicKey.format", &credential.public_key.format, enums::KEY_FORMATS)?;
    let expires_ms = match credential.expiration_time.as_deref() {
        None | Some("") => None,
        Some(text) => Some(time("expirationTime", text)?).filter(|ms| *ms > 0),
    };
    fields::CREDENTIAL.check_len("publicKey.key", credential.public_key.key.len())?;
    let credential = Credential { format, key: credential.public_key.key, expires_ms };
    validity::check_key(&credential, clock::now_ms()).map_err(|e| Error::invalid(format!("publicKey.key: {e}")))?;
    Ok(credential)
}

impl CredentialIn {
    /// The key's text, of one that is to go.
    pub(crate) fn key(self) -> String {
        self.public_key.key
    }
}

/// A time as the API writes it, milliseconds since the Unix epoch; 0 for what is before that.
pub(crate) fn time(field: &str, text: &str) -> Result<u64, Error> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| Error::invalid(format!("{field} must be like 2030-01-01T00:00:00Z, not {text:?}")))?;
    Ok(u64::try_from(time.as_millisecond()).unwrap_or(0))
}

fn gateway(config: &GatewayIn) -> Result<Option<GatewayAuth>, Error> {
    let is_gateway = match &config.gateway_type {
        Some(value) => enums::read("gatewayConfig.gatewayType", value, enums::GATEWAY_TYPES)?,
        None => false,
    };
    let method = config.method()?;
    Ok(is_gateway.then(|| method.unwrap_or(GatewayAuth::AssociationOnly)))
}

impl GatewayIn {
    fn method(&self) -> Result<Option<GatewayAuth>, Error> {
        let read = |value| enums::read("gatewayConfig.gatewayAuthMethod", value, enums::GATEWAY_AUTHS);
        Ok(self.gateway_auth_method.as_ref().map(read).transpose()?.flatten())
    }
}

/// What the mask names, with its values in `new`.
pub(crate) fn device_patch(new: DeviceIn, mask: &Mask) -> Result<DevicePatch, Error> {
    let names_endpoint = mask.paths().any(|path| path.starts_with("methodEndpoint"));
    let endpoint = if names_endpoint { new.endpoint()? } else { None };
    let method = new.gateway_config.as_ref().map_or(Ok(None), GatewayIn::method)?;
    let new = new.spec()?;
    let mut patch = DevicePatch::default();
    let mut gateway = GatewayPatch {
        is_gateway: None,
        method: None,
        first_method: new.gateway.unwrap_or(GatewayAuth::AssociationOnly),
    };
    for path in mask.paths() {
        match path {
            "blocked" => patch.blocked = Some(new.blocked),
            "metadata" => patch.metadata = Some(new.metadata.clone()),
            "credentials" => patch.credentials = Some(new.credentials.clone()),
            "symmetricKeys" => patch.symmetric_keys = Some(new.symmetric_keys.clone()),
            "logLevel" => patch.log_level = Some(new.log_level.clone()),
            "gatewayConfig" => (gateway.is_gateway, gateway.method) = (Some(new.gateway.is_some()), new.gateway),
            "gatewayConfig.gatewayType" => gateway.is_gateway = Some(new.gateway.is_some()),
            // A caller that names the method alone leaves the type as it is.
            "gatewayConfig.gatewayAuthMethod" => gateway.method = method,
            "methodEndpoint" | "methodEndpoint.url" => patch.endpoint = Some(endpoint.clone()),
            other => {
                let key = other.strip_prefix("metadata.").ok_or_else(|| not_in_a_patch(other))?;
                patch.metadata_keys.insert(key.to_owned(), new.metadata.get(key).cloned());
            }
        }
    }
    patch.gateway = Some(gateway).filter(|gateway| gateway.is_gateway.is_some() || gateway.method.is_some());
    Ok(patch)
}

fn not_in_a_patch(path: &str) -> Error {
    Error::invalid(format!(
        "updateMask names {path:?}; what can be changed is blocked, credentials, metadata, metadata.KEY, logLevel, \
         gatewayConfig, methodEndpoint, symmetricKeys"
    ))
}

/// The fields of a device in a list: those of the mask, and always `id` and `numId`, as Google has it.
pub(crate) fn list_mask(mask: Option<Mask>) -> Mask {
    mask.unwrap_or_default().and("id").and("numId")
}

/// The whole device as the API shows it. Fields without a value are left out.
pub(crate) fn device(device: &Device, registered: &Registered, connected: bool, style: EnumStyle) -> Value {
    let Registered { spec, password, endpoint, .. } = registered;
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("id", json!(device.name.id.as_str()));
    put("name", json!(device.name.to_string()));
    put("numId", json!(device.num.num_id().to_string()));
    put("createTime", json!(clock::rfc3339(device.created_ms)));
    put("connected", json!(connected));
    put("blocked", json!(spec.blocked));
    put("gatewayConfig", gateway_out(spec.gateway, device.gateway_access(), style));
    if !spec.credentials.is_empty() {
        put("credentials", spec.credentials.iter().map(|credential| credential_out(credential, style)).collect());
    }
    if password.is_some() {
        put("hasPassword", json!(true));
    }
    if spec.symmetric_keys.is_some() {
        put("hasSymmetricKeys", json!(true));
    }
    if !spec.metadata.is_empty() {
        put("metadata", json!(spec.metadata));
    }
    if let Some(level) = &spec.log_level {
        put("logLevel", enums::write(level.as_str(), style, enums::LOG_LEVELS));
    }
    if let Some(endpoint) = endpoint {
        put("methodEndpoint", json!({"url": endpoint.url}));
    }
    let seen = device.seen();
    for (name, time_ms) in [
        ("lastHeartbeatTime", seen.heartbeat_ms),
        ("lastEventTime", seen.event_ms),
        ("lastConfigSendTime", seen.config_sent_ms),
        ("lastConfigAckTime", seen.config_acknowledged_ms),
    ] {
        if let Some(time_ms) = time_ms {
            put(name, json!(clock::rfc3339(time_ms)));
        }
    }
    if let Some(DeviceError { time_ms, kind, message }) = device.error() {
        put("lastErrorTime", json!(clock::rfc3339(time_ms)));
        put("lastErrorStatus", json!({"code": enums::error_code(kind), "message": message}));
    }
    if let Some(newest) = device.config() {
        put("config", config(&newest));
    }
    if let Some(newest) = device.state() {
        put("lastStateTime", json!(clock::rfc3339(newest.time_ms)));
        put("state", state(&newest));
    }
    Value::Object(shown)
}

fn gateway_out(gateway: Option<GatewayAuth>, access: Option<GatewayAccess>, style: EnumStyle) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("gatewayType", enums::write(gateway.is_some(), style, enums::GATEWAY_TYPES));
    if gateway.is_some() {
        put("gatewayAuthMethod", enums::write(gateway, style, enums::GATEWAY_AUTHS));
    }
    if let Some(GatewayAccess { gateway, time_ms }) = access {
        put("lastAccessedGatewayId", json!(gateway.as_str()));
        put("lastAccessedGatewayTime", json!(clock::rfc3339(time_ms)));
    }
    Value::Object(shown)
}

pub(super) fn credential_out(credential: &Credential, style: EnumStyle) -> Value {
    let format = enums::write(credential.format, style, enums::KEY_FORMATS);
    let mut shown = json!({"publicKey": {"format": format, "key": credential.key}});
    if let (Some(expires), Some(fields)) = (credential.expires_ms, shown.as_object_mut()) {
        fields.insert("expirationTime".into(), json!(clock::rfc3339(expires)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::registry::KeyFormat;

    fn read(text: &str) -> Result<DeviceSpec, String> {
        let device: DeviceIn = serde_json::from_str(text).map_err(|e| e.to_string())?;
        device.spec().map_err(|e| e.text)
    }

    #[test]
    fn a_device_is_read_as_google_writes_it() {
        let key = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let text = json!({"id": "a", "numId": "3", "blocked": true, "metadata": {"room": "hall"}, "logLevel": 30,
                "credentials": [{"publicKey": {"format": "ES256_PEM", "key": key},
                                 "expirationTime": "1970-01-01T00:00:01Z"}],
                "gatewayConfig": {"gatewayType": "GATEWAY", "gatewayAuthMethod": 2}});
        let spec = read(&text.to_string()).unwrap();
        assert!(spec.blocked);
        assert_eq!(spec.metadata["room"], "hall");
        assert_eq!(spec.log_level.as_deref(), Some("INFO"));
        assert_eq!((spec.credentials[0].format, spec.credentials[0].expires_ms), (KeyFormat::Es256Pem, Some(1000)));
        assert_eq!(spec.gateway, Some(GatewayAuth::DeviceAuthTokenOnly));
    }

    #[test]
    fn what_is_wrong_with_a_device_is_said_by_field() {
        for (text, part) in [
            (r#"{"colour": 1}"#, "colour"),
            (r#"{"blocked": "yes"}"#, "boolean"),
            (r#"{"credentials": [{"publicKey": {"format": 9, "key": "x"}}]}"#, "publicKey.format"),
            (r#"{"credentials": [{"publicKey": {"format": 1, "key": "x"}}]}"#, "PEM"),
            (
                r#"{"credentials": [{"publicKey": {"format": 1, "key": "-----BEGIN X"}, "expirationTime": "soon"}]}"#,
                "expirationTime",
            ),
            (r#"{"gatewayConfig": {"gatewayType": "DOOR"}}"#, "gatewayConfig.gatewayType"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_update_changes_what_its_mask_names() {
        let old = DeviceSpec { blocked: true, log_level: Some("INFO".into()), ..DeviceSpec::default() };
        let mask = |text| Mask::parse(Some(text)).unwrap();
        let mut new = old.clone();
        device_patch(DeviceIn::default(), &mask("log_level")).unwrap().apply(&mut new);
        assert_eq!((new.blocked, new.log_level.as_deref()), (true, None));
        let wanted = serde_json::from_str(r#"{"metadata": {"my_room": "hall", "b": "2"}}"#).unwrap();
        device_patch(wanted, &mask("metadata.my_room,metadata.gone")).unwrap().apply(&mut new);
        assert_eq!(new.metadata, BTreeMap::from([("my_room".into(), "hall".into())]));
        let error = device_patch(DeviceIn::default(), &mask("blocked,numId")).unwrap_err();
        assert!(error.text.contains("\"numId\""), "{error}");
    }

    #[test]
    fn an_update_of_a_gateways_method_leaves_it_a_gateway() {
        let gateway = |auth| DeviceSpec { gateway: auth, ..DeviceSpec::default() };
        let [only, token] = [GatewayAuth::AssociationOnly, GatewayAuth::DeviceAuthTokenOnly].map(Some);
        for (old, written, mask, expected) in [
            (only, r#"{"gatewayAuthMethod": 2}"#, "gateway_config.gateway_auth_method", token),
            (None, r#"{"gatewayAuthMethod": 2}"#, "gatewayConfig.gatewayAuthMethod", None),
            (token, r#"{"gatewayType": 1}"#, "gatewayConfig.gatewayType", token),
            (token, r#"{"gatewayType": 2}"#, "gatewayConfig.gatewayType", None),
            (None, r#"{"gatewayType": 1, "gatewayAuthMethod": 2}"#, "gatewayConfig", token),
            (only, "{}", "gatewayConfig", None),
        ] {
            let new = serde_json::from_str(&format!(r#"{{"gatewayConfig": {written}}}"#)).unwrap();
            let mut changed = gateway(old);
            device_patch(new, &Mask::parse(Some(mask)).unwrap()).unwrap().apply(&mut changed);
            assert_eq!(changed.gateway, expected, "{old:?} {written} {mask}");
        }
    }
}
