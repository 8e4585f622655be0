//! Connection strings for the SDKs of Azure IoT Hub.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};

use super::{RegistryPath, lookup, registry_name};
use crate::{
    app::App,
    convert::Params,
    error::{Error, ErrorStatus},
    reply::{ApiResult, Body},
};
use switchbox_admin_api::{HubConnectionStringRequest, HubConnectionStringResponse, HubKey};
use switchbox_auth::symmetric;
use switchbox_azure::{ConnectionString, Policy, connection_string::Identity};
use switchbox_core::registry::Device;
use switchbox_model::{
    RegistryName,
    patch::{KeyOwner, RegistryPatch},
    symmetric::{KeySlot, SymmetricKeys},
};

/// The host name if neither the caller nor a setting nor the host's certificate gives one.
const LOCAL: &str = "localhost";

pub(crate) async fn connection_string(
    State(app): State<App>,
    Path((p, l, r)): RegistryPath,
    params: Params,
    Body(request): Body<HubConnectionStringRequest>,
) -> ApiResult<HubConnectionStringResponse> {
    params.only(&[])?;
    let registry = registry_name(&p, &l, &r)?;
    if app.handles.registry.registry(&registry).is_none() {
        return Err(Error::not_found(format!("registry {registry}")));
    }
    let host = host_name(&app, &registry, request.host_name.as_deref())?;
    let key = slot(request.key.or(request.new_key).unwrap_or(HubKey::Primary));
    let text = match (&request.policy, &request.device_id) {
        (Some(_), Some(_)) => return Err(Error::invalid("policy and deviceId: name one of them")),
        (None, Some(id)) => {
            let device = lookup::find(&app, registry, id)?;
            let keys = device_keys(&app, &device, request.new_key).await?;
            let key = keys.as_ref().map(|keys| &*keys.get(key).0);
            ConnectionString { host, identity: Identity::Device(device.name.id.as_str()), key }.to_string()
        }
        (policy, None) => {
            let policy = policy.as_deref().map_or(Ok(Policy::Owner), parse_policy)?;
            let keys = policy_keys(&app, &registry, policy, request.new_key).await?;
            ConnectionString { host, identity: Identity::Policy(policy), key: Some(&keys.get(key).0) }.to_string()
        }
    };
    Ok(Json(HubConnectionStringResponse { connection_string: text }))
}

/// The host name by which clients call the registry's hub: `requested`, or else one that is known. Any other would lead to another
/// registry.
fn host_name<'a>(app: &'a App, registry: &RegistryName, requested: Option<&'a str>) -> Result<&'a str, Error> {
    if let Some(host) = requested {
        let called = app.hubs.registry(host);
        let problem = || format!("{host} means registry {} (azure.hubs), not {}", called.id(), registry.id());
        return if called == *registry { Ok(host) } else { Err(Error::invalid(problem()).of_field("hostName")) };
    }
    let certified = &app.handles.listeners.tls_names;
    let called = certified.iter().map(String::as_str).chain(certified.is_empty().then_some(LOCAL));
    app.hubs.host_of(registry, called).map_err(|problem| {
        // Any name that the setting does not list means the default registry.
        let default = *registry == RegistryName::default_registry();
        let or = if default { ", or pass hostName (--host-name)" } else { "" };
        Error::new(ErrorStatus::FailedPrecondition, format!("{problem}{or}"))
    })
}

fn parse_policy(name: &str) -> Result<Policy, Error> {
    Policy::find(name).ok_or_else(|| {
        let names: Vec<_> = Policy::ALL.into_iter().map(Policy::name).collect();
        Error::invalid(format!("policy must be one of {}", names.join(", "))).of_field("policy")
    })
}

fn slot(key: HubKey) -> KeySlot {
    match key {
        HubKey::Primary => KeySlot::Primary,
        HubKey::Secondary => KeySlot::Secondary,
    }
}

/// The keys of a policy. They are created at the first request.
async fn policy_keys(
    app: &App,
    registry: &RegistryName,
    policy: Policy,
    new_key: Option<HubKey>,
) -> Result<SymmetricKeys, Error> {
    let (handle, name) = (&app.handles.registry, policy.name());
    let find = || handle.access_key(registry, name);
    match (find(), new_key) {
        (Some(keys), None) => return Ok(keys),
        (Some(_), Some(which)) => {
            let owner = KeyOwner::AccessKey { registry: registry.clone(), name: name.to_owned() };
            handle.renew_key(owner, slot(which), symmetric::random()?).await?;
        }
        (None, _) => {
            let first_access_keys = BTreeMap::from([(name.to_owned(), symmetric::generate()?)]);
            let patch = RegistryPatch { first_access_keys, ..RegistryPatch::default() };
            handle.patch_registry(registry, patch, None).await?;
        }
    }
    find().ok_or_else(|| Error::not_found(format!("registry {registry}")))
}

/// `None` if the device authenticates with certificates.
async fn device_keys(app: &App, device: &Device, new_key: Option<HubKey>) -> Result<Option<SymmetricKeys>, Error> {
    let spec = device.spec();
    match (&spec.symmetric_keys, new_key) {
        (Some(keys), None) => Ok(Some(keys.as_ref().clone())),
        (Some(_), Some(which)) => {
            app.handles.registry.renew_key(KeyOwner::Device(device.num), slot(which), symmetric::random()?).await?;
            Ok(device.spec().symmetric_keys.as_deref().cloned())
        }
        (None, None) if spec.credentials.iter().any(|credential| credential.format.is_certificate()) => Ok(None),
        (None, _) => Err(Error::new(
            ErrorStatus::FailedPrecondition,
            format!("device {} has no symmetric keys; PATCH its symmetricKeys to give it some", device.name),
        )),
    }
}
