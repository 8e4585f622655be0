//! Answers a client's requests for its device's config and state. Does not write to the socket.

use std::{sync::Arc, task::Wake as _};

use bytes::Bytes;

use crate::{connection::Connection, dialect::azure::reply_topic, end::ConnectionEnd, mailbox::Mailbox};
use switchbox_azure::twin;
use switchbox_core::{ingest, registry::Device};
use switchbox_model::Message;
use switchbox_mqtt_codec::packet::Ack;
use switchbox_rules::json::PatchError;

/// A request with the id for its answer.
pub(super) enum Request {
    Get {
        rid: String,
    },
    /// A merge patch on the state.
    Patch {
        rid: String,
        patch: Bytes,
    },
}

/// The statuses of answers: those of HTTP.
mod status {
    pub(super) const OK: u16 = 200;
    pub(super) const NO_CONTENT: u16 = 204;
    pub(super) const BAD_REQUEST: u16 = 400;
    pub(super) const TOO_LARGE: u16 = 413;
}

impl Connection {
    /// Processes a request. `ack` acknowledges its PUBLISH.
    pub(super) async fn twin(&mut self, request: Request, ack: Option<Ack>) -> Result<(), ConnectionEnd> {
        let Some(device) = self.presence.device.clone() else { return Ok(()) };
        match request {
            Request::Get { rid } => {
                let config = device.config();
                let config = config.as_ref().map_or((&[][..], 0), |config| (&config.payload[..], config.version));
                let (state, version) = {
                    let _order = device.order();
                    device.newest_state()
                };
                let text = twin::document(config, (&state, version));
                reply(&self.presence.mailbox, &reply_topic(status::OK, &rid, None), text.into());
                ack.map_or(Ok(()), |ack| self.acknowledge_now(ack))
            }
            Request::Patch { rid, patch } => self.patch_state(&device, rid, &patch, ack).await,
        }
    }

    /// Patches the device's state. The answer is sent when the new state is durable.
    async fn patch_state(
        &mut self,
        device: &Arc<Device>,
        rid: String,
        patch: &[u8],
        ack: Option<Ack>,
    ) -> Result<(), ConnectionEnd> {
        let limit = self.presence.shared.options.payloads.state();
        let permit = self.reserve(limit.bytes).await?;
        let mailbox = self.presence.mailbox.clone();
        let (answered, request_id) = (mailbox.clone(), rid.clone());
        let done = move |version, result: Result<(), ingest::Error>| {
            if result.is_ok() {
                reply(&answered, &reply_topic(status::NO_CONTENT, &request_id, Some(version)), Bytes::new());
            }
            // The PUBACK waits for the same position.
            answered.wake();
        };
        let refused = match twin::is_state_patch(patch) {
            false => status::BAD_REQUEST,
            true => {
                match self.presence.shared.host.ingest.submit_state_patch(device, patch, limit.bytes, permit, done) {
                    Ok(submitted) => return self.queue_acks(submitted, limit.bytes, ack.into_iter().collect()),
                    Err(PatchError::TooLarge { .. }) => {
                        self.presence.shared.metrics.limit(limit.limit);
                        status::TOO_LARGE
                    }
                    Err(_) => status::BAD_REQUEST,
                }
            }
        };
        reply(&mailbox, &reply_topic(refused, &rid, None), Bytes::new());
        ack.map_or(Ok(()), |ack| self.acknowledge_now(ack))
    }
}

/// Queues the answer in the client's session, if it subscribes to answers.
fn reply(mailbox: &Mailbox, topic: &str, payload: Bytes) {
    mailbox.reply(Arc::new(Message::new(topic, payload)));
}
