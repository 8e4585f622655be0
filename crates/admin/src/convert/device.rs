//! Converts devices between the API's types and the model.

use std::collections::BTreeMap;

use super::{Mask, config, enums, state, symmetric, validity};
use crate::error::Error;
use switchbox_admin_api::{self as api, GatewayType, Int64, Time};
use switchbox_core::{
    registry::{Device, Registered},
    twin,
};
use switchbox_model::{
    DeviceId,
    limits::fields,
    patch::{DevicePatch, GatewayPatch},
    registry::{
        Credential, DeviceError, DeviceSpec, GatewayAuth, InvalidMetadataKey, MethodEndpoint, check_metadata_key,
    },
};
use switchbox_proxy as proxy;
use switchbox_support::clock;

/// The checked URL at which the device's methods are called over HTTP.
pub(crate) fn endpoint(request: &api::Device) -> Result<Option<MethodEndpoint>, Error> {
    let Some(api::MethodEndpoint { url }) = &request.method_endpoint else { return Ok(None) };
    if url.is_empty() {
        return Ok(None);
    }
    fields::ENDPOINT_URL.check_len("methodEndpoint.url", url.len())?;
    proxy::check_url(url).map_err(|error| Error::invalid(format!("methodEndpoint.url: {error}")))?;
    Ok(Some(MethodEndpoint { url: url.clone() }))
}

/// Refuses keys that no update mask can name.
pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    let refused = |error: InvalidMetadataKey| Error::invalid(error.to_string()).of_field("metadata");
    metadata.keys().try_for_each(|key| check_metadata_key(key)).map_err(refused)
}

/// The part of a device that operators set.
pub(crate) fn device_spec(request: api::Device) -> Result<DeviceSpec, Error> {
    check_metadata(&request.metadata)?;
    twin::tolerance(&request.metadata)
        .map_err(|error| Error::invalid(format!("metadata.{}: {error}", twin::TOLERANCE)))?;
    Ok(DeviceSpec {
        blocked: request.blocked,
        metadata: request.metadata,
        credentials: request.credentials.into_iter().map(credential).collect::<Result<_, _>>()?,
        gateway: request.gateway_config.as_ref().and_then(gateway),
        log_level: request.log_level.map(|level| level.name().to_owned()),
        symmetric_keys: request.symmetric_keys.map(symmetric::keys).transpose()?.map(Box::new),
    })
}

pub(crate) fn credential(request: api::DeviceCredential) -> Result<Credential, Error> {
    let api::DeviceCredential { public_key, expiration_time } = request;
    fields::CREDENTIAL.check_len("publicKey.key", public_key.key.len())?;
    let format = enums::key_format(public_key.format);
    let credential = Credential { format, key: public_key.key, expires_ms: expiration_time.map(|time| time.0) };
    validity::check_key(&credential, clock::now_ms()).map_err(|e| Error::invalid(format!("publicKey.key: {e}")))?;
    Ok(credential)
}

fn gateway(config: &api::GatewayConfig) -> Option<GatewayAuth> {
    let is_gateway = config.gateway_type == Some(GatewayType::Gateway);
    is_gateway.then(|| method(config).unwrap_or(GatewayAuth::AssociationOnly))
}

fn method(config: &api::GatewayConfig) -> Option<GatewayAuth> {
    config.gateway_auth_method.and_then(enums::gateway_auth)
}

/// The patch of the fields in the mask, with the values of `new`.
pub(crate) fn device_patch(mut new: api::Device, mask: &Mask) -> Result<DevicePatch, Error> {
    // A client may send the whole device, with keys of an earlier version that would be refused. Only what the mask names is read.
    if !mask.paths().any(|path| path == "metadata") {
        let is_named = |key: &str| mask.paths().any(|path| path.strip_prefix("metadata.") == Some(key));
        new.metadata.retain(|key, _| is_named(key));
    }
    let names_endpoint = mask.paths().any(|path| path.starts_with("methodEndpoint"));
    let endpoint = if names_endpoint { endpoint(&new)? } else { None };
    let method = new.gateway_config.as_ref().and_then(method);
    let new = device_spec(new)?;
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
            // If the mask names only the method, the type is unchanged.
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

/// The fields of a device in a list: those of the mask, and always `id` and `numId`, as in Google's API.
pub(crate) fn list_mask(mask: Option<Mask>) -> Mask {
    mask.unwrap_or_default().and("id").and("numId")
}

/// The whole device as the API shows it.
pub(crate) fn device(
    device: &Device,
    registered: &Registered,
    connected: bool,
    attached_gateway: Option<&DeviceId>,
) -> api::Device {
    let Registered { spec, password, endpoint, .. } = registered;
    let (seen, newest) = (device.seen(), device.state());
    let (error_time, error_status) = match device.error() {
        Some(DeviceError { time_ms, kind, message }) => {
            (Some(Time(time_ms)), Some(api::Status { code: enums::error_code(kind), message }))
        }
        None => (None, None),
    };
    api::Device {
        id: Some(device.name.id.to_string()),
        name: Some(device.name.to_string()),
        num_id: Some(Int64(device.num.num_id())),
        create_time: Some(Time(device.created_ms)),
        connected: Some(connected),
        attached_gateway_id: attached_gateway.map(ToString::to_string),
        blocked: spec.blocked,
        credentials: spec.credentials.iter().map(credential_out).collect(),
        has_password: password.is_some().then_some(true),
        symmetric_keys: None,
        has_symmetric_keys: spec.symmetric_keys.is_some().then_some(true),
        metadata: spec.metadata.clone(),
        log_level: spec.log_level.as_deref().and_then(|level| level.parse().ok()),
        gateway_config: Some(gateway_out(device, spec.gateway)),
        method_endpoint: endpoint.as_ref().map(|endpoint| api::MethodEndpoint { url: endpoint.url.clone() }),
        config: device.config().map(|newest| config(&newest)),
        last_heartbeat_time: seen.heartbeat_ms.map(Time),
        last_event_time: seen.event_ms.map(Time),
        last_state_time: newest.as_ref().map(|newest| Time(newest.time_ms)),
        last_config_ack_time: seen.config_acknowledged_ms.map(Time),
        last_config_send_time: seen.config_sent_ms.map(Time),
        last_error_time: error_time,
        last_error_status: error_status,
        state: newest.map(|newest| state(&newest)),
        warnings: Vec::new(),
    }
}

fn gateway_out(device: &Device, gateway: Option<GatewayAuth>) -> api::GatewayConfig {
    let access = device.gateway_access();
    api::GatewayConfig {
        gateway_type: Some(if gateway.is_some() { GatewayType::Gateway } else { GatewayType::NonGateway }),
        gateway_auth_method: gateway.map(enums::gateway_auth_out),
        last_accessed_gateway_id: access.as_ref().map(|access| access.gateway.to_string()),
        last_accessed_gateway_time: access.map(|access| Time(access.time_ms)),
    }
}

pub(super) fn credential_out(credential: &Credential) -> api::DeviceCredential {
    api::DeviceCredential {
        public_key: api::PublicKeyCredential {
            format: enums::key_format_out(credential.format),
            key: credential.key.clone(),
        },
        expiration_time: credential.expires_ms.map(Time),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::body, *};
    use switchbox_model::registry::KeyFormat;

    fn read(text: &str) -> Result<DeviceSpec, String> {
        body::read(text.as_bytes()).and_then(device_spec).map_err(|e| e.text)
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
            (r#"{"metadata": {"a,credentials": "x"}}"#, "metadata key \"a,credentials\""),
            (r#"{"metadata": {"": "x"}}"#, "metadata key"),
            (r#"{"metadata": {"a ": "x"}}"#, "metadata key"),
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
        device_patch(api::Device::default(), &mask("log_level")).unwrap().apply(&mut new);
        assert_eq!((new.blocked, new.log_level.as_deref()), (true, None));
        let request = serde_json::from_str(r#"{"metadata": {"my_room": "hall", "b": "2"}}"#).unwrap();
        device_patch(request, &mask("metadata.my_room,metadata.gone")).unwrap().apply(&mut new);
        assert_eq!(new.metadata, BTreeMap::from([("my_room".into(), "hall".into())]));
        // A key of an earlier version is read only where the mask names it.
        let whole = || serde_json::from_str::<api::Device>(r#"{"metadata": {"a,b": "x"}}"#).unwrap();
        device_patch(whole(), &mask("blocked")).unwrap().apply(&mut new);
        assert!(!new.blocked && !new.metadata.contains_key("a,b"));
        assert!(device_patch(whole(), &mask("metadata")).is_err());
        let error = device_patch(api::Device::default(), &mask("blocked,numId")).unwrap_err();
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
