//! Whose a session is, and whether there is still somebody who can come back to it.

use super::{clients::Key, hub::Hub};
use crate::{model::ServiceName, store::ServiceDoc};

/// A session belongs to the account, its lists and the client id: with other lists it is another one, so that nothing of
/// what was allowed before is left in it.
pub(super) fn of_service(service: &ServiceDoc, client_id: &str) -> Key {
    Key::Client((place(service) + client_id).into())
}

/// How the keys of the account's sessions begin. No client id holds a NUL, so no other client has such a key.
fn place(ServiceDoc { name, spec, .. }: &ServiceDoc) -> String {
    format!("{name}\0{}\0{}\0", spec.publish.join("\0"), spec.subscribe.join("\0"))
}

/// False: the device or the account is no more, or the account has other lists.
pub(super) fn can_return<H: Hub>(hub: &H, key: &Key) -> bool {
    match key {
        Key::Device(device) => hub.is_registered(*device),
        Key::Client(id) => {
            let Some((name, _)) = id.split_once('\0') else { return true };
            let service = ServiceName::new(name).ok().and_then(|name| hub.service(&name));
            service.is_some_and(|service| id.starts_with(&place(&service)))
        }
    }
}
