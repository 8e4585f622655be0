//! Authenticates the device of a call: by its own signature, by that of a policy with the right DeviceConnect, or by its
//! certificate.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path},
    http::{header, request::Parts},
};

use crate::{
    app::{App, RateKey},
    bounds,
    error::{Code, ServiceError},
    gate::{address_of, check_api_version, check_rate, host, registry, text},
};
use switchbox_auth::{AuthRefusal, Credentials, Principal, Signed, Signer};
use switchbox_azure::{AccessRight, Sas};
use switchbox_core::registry::Device;
use switchbox_http_server::ConnectionInfo;
use switchbox_model::{DeviceId, DeviceName};
use switchbox_support::log_limit::SiteLimit;
use switchbox_transport::admission::network;

/// At most ten such lines a minute are logged; the others are counted.
static REFUSED: SiteLimit = SiteLimit::new(10);

/// The authenticated device of a call.
pub(crate) struct DeviceCaller(pub(crate) Arc<Device>);

impl FromRequestParts<App> for DeviceCaller {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ServiceError> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
        let Path(path) = path.map_err(|error| ServiceError::invalid(error.body_text()))?;
        let id = DeviceId::new(path.get("id").map_or("", String::as_str));
        let id = id.map_err(|error| ServiceError::invalid(error.to_string()))?;
        let address = address_of(parts);
        let admitted = match admit(app, id, parts).await {
            Ok(device) => check_rate(app, RateKey::Device(device.num), bounds::CALLS).map(|()| device),
            Err(error) => {
                app.handles.metrics.refuse("hub_token");
                if let Some(more) = REFUSED.allow() {
                    tracing::info!(%address, %error, "a device was refused over HTTPS{more}");
                }
                check_rate(app, RateKey::Address(network(address)), bounds::UNAUTHENTICATED).and(Err(error))
            }
        };
        let device = admitted?;
        if let Some(info) = parts.extensions.get::<ConnectionInfo>() {
            info.mark_authenticated();
        }
        check_api_version(&parts.uri)?;
        Ok(Self(device))
    }
}

async fn admit(app: &App, id: DeviceId, parts: &Parts) -> Result<Arc<Device>, ServiceError> {
    let refused = |text: String| ServiceError::new(Code::Unauthorized, text);
    let host = host(parts);
    let name = DeviceName { registry: registry(app, host), id };
    let signed = match text(&parts.headers, &header::AUTHORIZATION) {
        Some(token) => Some(signed(host, &name.id, token).map_err(refused)?),
        None => None,
    };
    let certificates = parts.extensions.get::<ConnectionInfo>().map(ConnectionInfo::certificates).unwrap_or_default();
    if signed.is_none() && certificates.is_empty() {
        return Err(refused("the call has no shared access signature (Authorization), and no certificate".into()));
    }
    let credentials = Credentials {
        client_id: name.id.as_str(),
        user_name: None,
        password: None,
        address: address_of(parts),
        certificates,
        device: Some(&name),
        signed: signed.as_ref(),
    };
    let admitted = app.handles.auth.admit(credentials).await.map_err(|refusal| match refusal {
        AuthRefusal::Unavailable(why) => ServiceError::new(Code::Throttled, why),
        refusal => refused(refusal.to_string()),
    })?;
    match (admitted.principal, app.handles.registry.registry(&name.registry)) {
        (Principal::Device(device), Some(registry)) if !registry.spec.http_disabled => Ok(device),
        (Principal::Device(_), _) => Err(refused(format!("{} does not accept devices over HTTP", name.registry))),
        _ => Err(refused(format!("{name} is not a device"))),
    }
}

/// Reads the signature in a device's token.
fn signed(host: &str, id: &DeviceId, token: &str) -> Result<Signed, String> {
    let token = Sas::parse(token.as_bytes()).map_err(|error| format!("the token cannot be used: {error}"))?;
    if !token.covers(host, &format!("devices/{id}")) {
        return Err("the token is for another hub, or for another device".into());
    }
    let signer = match token.policy {
        None => Signer::Device,
        Some(policy) if policy.allows(AccessRight::DeviceConnect) => Signer::Registry(policy.name().to_owned()),
        Some(policy) => {
            return Err(format!("the policy {} does not allow {}", policy.name(), AccessRight::DeviceConnect));
        }
    };
    Ok(Signed::new(signer, token.signed(), token.signature, token.expires_secs))
}
