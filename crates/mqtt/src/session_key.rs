//! The key of a session: which device or account owns it, and whether a client can still resume it.

use std::sync::Arc;

use super::{clients::Key, host_parts::HostParts};
use switchbox_auth::{Access, AuthContext, Principal};
use switchbox_core::registry::Device;
use switchbox_model::{ServiceName, broker::Owner};
use switchbox_store::ServiceDoc;

/// The key holds the account, its topic lists and the client id. An account whose lists change gets new sessions, so that no subscription
/// outlives its permission.
pub(super) fn of_service(service: &ServiceDoc, client_id: &str) -> Key {
    Key::Client((account_prefix(service) + client_id).into())
}

/// The prefix of the keys of the account's sessions. No client id holds a NUL, so no other client has such a key.
fn account_prefix(ServiceDoc { name, spec, .. }: &ServiceDoc) -> String {
    format!("{name}\0{}\0{}\0", spec.publish.join("\0"), spec.subscribe.join("\0"))
}

/// The owner whose quota a client's session and retained messages take. While enrolment is open, clients are not authenticated, so all of
/// them share one quota.
pub(super) fn of_retained(auth_context: &AuthContext) -> Owner {
    match (&auth_context.access, &auth_context.principal) {
        (Access::Open, _) | (_, Principal::Client) => Owner::Everyone,
        (_, Principal::Device(device)) => Owner::Device(device.num),
        (_, Principal::Service(service)) => Owner::Service(service.name.as_str().into()),
    }
}

/// The identity of a client with such a key. `device`: the device, if the key is a device's.
pub(super) fn principal(host: &HostParts, key: &Key, device: Option<Arc<Device>>) -> Principal {
    match (device, key) {
        (Some(device), _) => Principal::Device(device),
        (None, Key::Device(_)) => Principal::Client,
        (None, Key::Client(id)) => account(host, id).map_or(Principal::Client, Principal::Service),
    }
}

/// The account, as it is now, that the key names.
fn account(host: &HostParts, key: &str) -> Option<Arc<ServiceDoc>> {
    let (name, _) = key.split_once('\0')?;
    host.auth.service(&ServiceName::new(name).ok()?)
}

/// Whether a client can still resume the session: its device or account exists, and the account's lists are unchanged.
pub(super) fn can_return(host: &HostParts, key: &Key) -> bool {
    match key {
        Key::Device(device) => host.auth.is_registered(*device),
        Key::Client(id) if !id.contains('\0') => true,
        Key::Client(id) => account(host, id).is_some_and(|service| id.starts_with(&account_prefix(&service))),
    }
}
