//! Provisioning over HTTPS: a device that is not registered yet proves that an enrolment covers it, registers, and asks for its
//! hub.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{
    app::{App, RateKey},
    bounds,
    error::{Code, ServiceError},
    gate::{address_of, check_api_version, check_rate, host, text},
};
use switchbox_auth::{
    AuthRefusal, Signed, Signer,
    provisioning::{RegisterError, Registered, Registrant, RegistrationRequest},
};
use switchbox_azure::{Sas, provisioning};
use switchbox_http_server::ConnectionInfo;
use switchbox_support::{clock, log_limit::SiteLimit};
use switchbox_transport::admission::network;

/// At most ten such lines a minute are logged; the others are counted.
static REFUSED: SiteLimit = SiteLimit::new(10);

/// The authenticated device of a call, and the host name that it called.
pub(crate) struct RegistrantCaller {
    registrant: Registrant,
    host: String,
}

impl FromRequestParts<App> for RegistrantCaller {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ServiceError> {
        let address = address_of(parts);
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
        let Path(path) = path.map_err(|error| ServiceError::invalid(error.body_text()))?;
        let part = |name: &str| path.get(name).map(String::as_str).unwrap_or_default();
        let admitted = match admit(app, part("scope"), part("id"), parts).await {
            Ok(registrant) => {
                let (registry, id) = (registrant.registry().clone(), registrant.registration_id().to_owned());
                check_rate(app, RateKey::Registration(registry, id), bounds::CALLS).map(|()| registrant)
            }
            Err(error) => {
                app.handles.metrics.refuse("hub_token");
                if let Some(more) = REFUSED.allow() {
                    tracing::info!(%address, %error, "the registration of a device was refused{more}");
                }
                // Only failed calls count for the address, so the devices of a fleet behind it do not block each other.
                check_rate(app, RateKey::Address(network(address)), bounds::UNAUTHENTICATED).and(Err(error))
            }
        };
        let registrant = admitted?;
        if let Some(info) = parts.extensions.get::<ConnectionInfo>() {
            info.mark_authenticated();
        }
        check_api_version(&parts.uri)?;
        let host = host(parts).split(':').next().unwrap_or_default().to_owned();
        Ok(Self { registrant, host })
    }
}

async fn admit(app: &App, scope: &str, id: &str, parts: &Parts) -> Result<Registrant, ServiceError> {
    let refused = |text: String| ServiceError::new(Code::Unauthorized, text);
    let registry = provisioning::registry(scope).map_err(|error| ServiceError::invalid(error.to_string()))?;
    let signed = match text(&parts.headers, &header::AUTHORIZATION) {
        Some(token) => Some(signed(scope, id, token).map_err(refused)?),
        None => None,
    };
    let certificates = parts.extensions.get::<ConnectionInfo>().map(ConnectionInfo::certificates).unwrap_or_default();
    let registration = RegistrationRequest {
        registry: &registry,
        registration_id: id,
        address: address_of(parts),
        certificates,
        signed: signed.as_ref(),
        public_key: None,
    };
    app.handles.auth.admit_registrant(registration).await.map_err(|refusal| match refusal {
        AuthRefusal::Unavailable(why) => ServiceError::new(Code::Throttled, why),
        refusal => refused(refusal.to_string()),
    })
}

fn signed(scope: &str, id: &str, token: &str) -> Result<Signed, String> {
    let token = Sas::parse(token.as_bytes()).map_err(|error| format!("the token cannot be used: {error}"))?;
    if token.policy.is_some() || !token.covers(scope, &format!("registrations/{id}")) {
        return Err("the token is for another ID scope, or for another registration".into());
    }
    Ok(Signed::new(Signer::Device, token.signed(), token.signature, token.expires_secs))
}

/// Answers when the registration is durable. The device asks for the result by the operation's id.
pub(crate) async fn register(State(app): State<App>, caller: RegistrantCaller) -> Result<Response, NotRegistered> {
    let registered = app.handles.auth.register(&caller.registrant).await?;
    tracing::info!(device = %registered.device.name, "registered by an enrolment");
    let body = provisioning::pending_json(caller.registrant.registration_id());
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(provisioning::RETRY_AFTER_SECS));
    Ok(response)
}

pub(crate) async fn status(State(app): State<App>, caller: RegistrantCaller) -> Result<Json<Value>, NotRegistered> {
    let registered = app.handles.auth.registered(&caller.registrant)?;
    Ok(Json(assigned(&app, &caller, &registered, |assigned| assigned.status_json())))
}

/// Answers with the registration.
pub(crate) async fn look_up(State(app): State<App>, caller: RegistrantCaller) -> Result<Json<Value>, NotRegistered> {
    let registered = app.handles.auth.registered(&caller.registrant)?;
    Ok(Json(assigned(&app, &caller, &registered, |assigned| assigned.registration_json())))
}

/// The hub is the name that a setting gives to the registry, or else the host that the device called.
fn assigned(
    app: &App,
    caller: &RegistrantCaller,
    registered: &Registered,
    shown: impl FnOnce(&provisioning::Assigned<'_>) -> Value,
) -> Value {
    let host = caller.host.as_str();
    let hub = app.hubs.host_of(caller.registrant.registry(), [host]).unwrap_or_else(|problem| {
        let device = &registered.device.name;
        tracing::warn!(%device, %problem, "the device was assigned a hub that is another registry");
        host
    });
    let device = registered.device.registered();
    shown(&provisioning::Assigned {
        registration_id: caller.registrant.registration_id(),
        hub,
        device_id: registered.device.name.id.as_str(),
        created: &clock::rfc3339(registered.device.created_ms),
        etag: &device.revision.to_string(),
        payload: registered.payload.as_deref(),
    })
}

/// Why a device is not registered, in the format of the provisioning service.
pub(crate) struct NotRegistered(RegisterError);

impl From<RegisterError> for NotRegistered {
    fn from(error: RegisterError) -> Self {
        Self(error)
    }
}

impl IntoResponse for NotRegistered {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let body = Json(provisioning::error_json(status, &self.0.to_string()));
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
    }
}
