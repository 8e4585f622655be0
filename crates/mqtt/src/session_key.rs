//! Whose a session is, and whether there is still somebody who can come back to it.

use std::sync::Arc;

use super::{clients::Key, host_parts::HostParts};
use switchbox_auth::{Access, AuthContext, Principal};
use switchbox_core::registry::Device;
use switchbox_model::{ServiceName, broker::Owner};
use switchbox_store::ServiceDoc;

/// A session belongs to the account, its lists and the client id: with other lists it is another one, so that nothing of
/// what was allowed before is left in it.
pub(super) fn of_service(service: &ServiceDoc, client_id: &str) -> Key {
    Key::Client((account_prefix(service) + client_id).into())
}

/// How the keys of the account's sessions begin. No client id holds a NUL, so no other client has such a key.
fn account_prefix(ServiceDoc { name, spec, .. }: &ServiceDoc) -> String {
    format!("{name}\0{}\0{}\0", spec.publish.join("\0"), spec.subscribe.join("\0"))
}

/// Whose quota a client's session and retained messages take. Where enrolment is open, nobody proves who it is, so all count as one.
pub(super) fn of_retained(auth_context: &AuthContext) -> Owner {
    match (&auth_context.access, &auth_context.principal) {
        (Access::Open, _) | (_, Principal::Client) => Owner::Everyone,
        (_, Principal::Device(device)) => Owner::Device(device.num),
        (_, Principal::Service(service)) => Owner::Service(service.name.as_str().into()),
    }
}

/// Who a client with such a key is. `device`: where the key is one's.
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

/// False: the device or the account is no more, or the account has other lists.
pub(super) fn can_return(host: &HostParts, key: &Key) -> bool {
    match key {
        Key::Device(device) => host.auth.is_registered(*device),
        Key::Client(id) if !id.contains('\0') => true,
        Key::Client(id) => account(host, id).is_some_and(|service| id.starts_with(&account_prefix(&service))),
    }
}
