//! What a device asks that is not registered yet, and its answer. Never writes to the socket.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;

use crate::{connection::Connection, end::ConnectionEnd};
use switchbox_auth::provisioning::{RegisterError, Registered, Registrant};
use switchbox_azure::provisioning::{Assigned, error_json, pending_json, response_topic};
use switchbox_model::Message;
use switchbox_mqtt_codec::packet::Ack;
use switchbox_support::clock;

/// A request that is answered under its id.
pub(super) enum Request {
    Register {
        rid: String,
    },
    /// The status of the registration.
    Status {
        rid: String,
    },
}

impl Connection {
    /// `ack`: of the publish that asks.
    pub(super) async fn register(&mut self, request: Request, ack: Option<Ack>) -> Result<(), ConnectionEnd> {
        let Some(registrant) = self.presence.registrant.clone() else { return Ok(()) };
        let auth = &self.presence.shared.host.auth;
        let (rid, status, body) = match request {
            Request::Register { rid } => match auth.register(&registrant).await {
                Ok(registered) => {
                    tracing::info!(device = %registered.device.name, "registered by an enrolment");
                    (rid, 202, pending_json(registrant.registration_id()))
                }
                Err(why) => refused(rid, &registrant, &why),
            },
            Request::Status { rid } => match auth.registered(&registrant) {
                Ok(registered) => (rid, 200, self.assigned(&registrant, &registered)),
                Err(why) => refused(rid, &registrant, &why),
            },
        };
        let topic = response_topic(status, &rid, status == 202);
        self.presence.mailbox.reply(Arc::new(Message::new(&topic, Bytes::from(body.to_string()))));
        ack.map_or(Ok(()), |ack| self.acknowledge_now(ack))
    }

    fn assigned(&self, registrant: &Registrant, registered: &Registered) -> serde_json::Value {
        let (name, certified) = (self.stream.server_name(), self.presence.shared.host.auth.host_names());
        let called = names_of_host(name, self.stream.local_ip(), certified);
        let hub = self.presence.shared.options.hubs.host_of(registrant.registry(), called.iter().map(String::as_str));
        let hub = hub.unwrap_or_else(|problem| {
            let device = &registered.device.name;
            tracing::warn!(%device, %problem, "the device was assigned a hub that is another registry");
            called.first().map(String::as_str).unwrap_or_default()
        });
        let device = registered.device.registered();
        Assigned {
            registration_id: registrant.registration_id(),
            hub,
            device_id: registered.device.name.id.as_str(),
            created: &clock::rfc3339(registered.device.created_ms),
            etag: &device.revision.to_string(),
            payload: registered.payload.as_deref(),
        }
        .status_json()
    }
}

/// The names by which the device can call the host, the best one first: the name that it called (`server_name`), or the address that it
/// reached. An address that is not in the host's certificate comes last, as the device would refuse the certificate there. So does a loopback
/// address, which a proxy on the same machine has reached and not the device.
fn names_of_host(server_name: Option<&str>, address: Option<IpAddr>, mut certified: Vec<String>) -> Vec<String> {
    let called = address.filter(|address| !address.is_loopback()).map(|address| address.to_string());
    let called = called.filter(|address| certified.contains(address));
    certified.retain(|name| !name.starts_with('*'));
    let address = address.map(|address| address.to_string());
    server_name.map(str::to_owned).into_iter().chain(called).chain(certified).chain(address).collect()
}

fn refused(rid: String, registrant: &Registrant, why: &RegisterError) -> (String, u16, serde_json::Value) {
    tracing::info!(registration = registrant.registration_id(), %why, "a device was not registered");
    (rid, why.status(), error_json(why.status(), &why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assigned_hub_is_the_host_as_the_device_called_it() {
        for (server_name, certified, expect) in [
            (None, &[][..], "192.0.2.7"),
            (None, &["192.0.2.7"], "192.0.2.7"),
            (None, &["plant.test", "192.0.2.7"], "192.0.2.7"),
            // The host is behind a translation of addresses.
            (None, &["plant.test", "198.51.100.1"], "plant.test"),
            (Some("hub.plant.test"), &["*.plant.test"], "hub.plant.test"),
            (Some("b.test"), &["a.test", "b.test"], "b.test"),
            (None, &["*.plant.test"], "192.0.2.7"),
        ] {
            let names = certified.iter().map(|name| (*name).to_owned()).collect();
            let called = names_of_host(server_name, Some([192, 0, 2, 7].into()), names);
            assert_eq!(called[0], expect, "{server_name:?} {certified:?}");
        }
    }
}
