//! A device that is not registered yet registers itself by an enrolment, and brings the public key with which it will connect. What it
//! proves is in its token.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use axum::{
    Json,
    extract::{ConnectInfo, Path, Request, State},
};

use super::{RegistryPath, registry_name};
use crate::{
    app::App,
    convert::{self, Params},
    error::{Error, ErrorStatus},
    gate,
    head::bearer,
    reply::ApiResult,
};
use switchbox_admin_api::{DeviceCredential, PublicKeyCredential, RegisterDeviceResponse};
use switchbox_auth::{
    AuthRefusal,
    provisioning::{RegisterError, RegistrationRequest},
    registration_token::{self, PublicKeyClaim, RegistrationToken},
};
use switchbox_model::registry::Credential;
use switchbox_support::clock;
use switchbox_transport::admission::network;

pub(crate) async fn register(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
    request: Request,
) -> ApiResult<RegisterDeviceResponse> {
    params.only(&[])?;
    // These calls are rare, so all of them are limited by the rate of unauthenticated calls.
    gate::check_unauthenticated_rate(&app, &request)?;
    let registry = registry_name(&p, &l, &r)?;
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let token = bearer(request.headers()).ok_or_else(|| {
        Error::new(
            ErrorStatus::Unauthenticated,
            "a token of the device is needed, signed by a key of its enrolment (HS256)",
        )
    })?;
    let token = registration_token::read(token, clock::now_ms() / 1_000);
    let RegistrationToken { audience, registration_id, public_key, signed } =
        token.map_err(|error| Error::new(ErrorStatus::Unauthenticated, error.to_string()))?;
    if audience != registry.to_string() {
        let text = format!("the token's audience (aud) must be {registry}");
        return Err(Error::new(ErrorStatus::Unauthenticated, text));
    }
    let public_key = credential(public_key)?;
    let registration = RegistrationRequest {
        registry: &registry,
        registration_id: &registration_id,
        address,
        certificates: &[],
        signed: Some(&signed),
        public_key: Some(&public_key),
    };
    let registrant =
        app.handles.auth.admit_registrant(registration).await.map_err(|refusal| refused(&app, address, &refusal))?;
    let registered = app.handles.auth.register(&registrant).await.map_err(not_registered)?;
    tracing::info!(device = %registered.device.name, "registered by an enrolment");
    Ok(Json(RegisterDeviceResponse {
        id: registered.device.name.id.to_string(),
        name: registered.device.name.to_string(),
        payload: registered.payload,
    }))
}

/// The key, checked as in any other call.
fn credential(claim: PublicKeyClaim) -> Result<Credential, Error> {
    let format = serde_json::from_value(claim.format.into());
    let format = format.map_err(|error| Error::invalid(format!("publicKey.format: {error}")))?;
    let public_key = PublicKeyCredential { format, key: claim.key };
    convert::credential(DeviceCredential { public_key, expiration_time: None })
}

/// The answer has as little detail as a CONNACK; the log has the reason.
fn refused(app: &App, address: IpAddr, refusal: &AuthRefusal) -> Error {
    if let Some(more) = app.bridge_log_limit.allow(network(address), Instant::now()) {
        tracing::info!(%address, why = %refusal, "the registration of a device was refused{more}");
    }
    match refusal {
        AuthRefusal::Unavailable(_) => {
            Error::new(ErrorStatus::Unavailable, "the device cannot be authenticated now; try again")
        }
        _ => Error::new(
            ErrorStatus::Unauthenticated,
            "the token does not prove this registration; the host's log has the reason",
        ),
    }
}

fn not_registered(error: RegisterError) -> Error {
    let status = match error.status() {
        401 => ErrorStatus::Unauthenticated,
        404 => ErrorStatus::NotFound,
        409 => ErrorStatus::AlreadyExists,
        503 => ErrorStatus::Unavailable,
        _ => ErrorStatus::InvalidArgument,
    };
    Error::new(status, error.to_string())
}
