//! What a device asks that is not registered yet, and its answer. Never writes to the socket.

use std::sync::Arc;

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
        let shared = &self.presence.shared;
        let hub = shared.options.hubs.host(registrant.registry()).map(str::to_owned);
        let hub = hub.or_else(|| shared.host.auth.host_name()).unwrap_or_else(|| "localhost".to_owned());
        let device = registered.device.registered();
        Assigned {
            registration_id: registrant.registration_id(),
            hub: &hub,
            device_id: registered.device.name.id.as_str(),
            created: &clock::rfc3339(registered.device.created_ms),
            etag: &device.revision.to_string(),
            payload: registered.payload.as_deref(),
        }
        .status_json()
    }
}

fn refused(rid: String, registrant: &Registrant, why: &RegisterError) -> (String, u16, serde_json::Value) {
    tracing::info!(registration = registrant.registration_id(), %why, "a device was not registered");
    (rid, why.status(), error_json(why.status(), &why.to_string()))
}
