//! Acknowledges packets at once, or refuses them and logs that. Does not write to the socket.

use std::time::Instant;

use crate::{connection::Connection, content::PublishRefusal, end::ConnectionEnd, presence::Presence};
use switchbox_model::{
    limits,
    registry::{DeviceError, ErrorKind},
};
use switchbox_mqtt_codec::{
    fault::{Fault, reason},
    packet::{Ack, AckKind, Version},
};
use switchbox_support::clock;

impl Connection {
    /// Refuses a publish that is not allowed: by a reason code in MQTT 5, by the end of the connection in MQTT 3.1.1.
    pub(crate) fn refuse(
        &mut self,
        topic: &str,
        refusal: &PublishRefusal,
        ack: Option<Ack>,
    ) -> Result<(), ConnectionEnd> {
        self.log_line(("publish", refusal.kind()), topic, &refusal.text_with_sizes());
        if self.peer.version == Version::V311 {
            return Err(Fault::new(refusal.reason, refusal.text).into());
        }
        self.acknowledge_refused(refusal, ack)
    }

    /// Acknowledges a refused publish with its reason code, for MQTT 5.
    pub(crate) fn acknowledge_refused(
        &mut self,
        refusal: &PublishRefusal,
        ack: Option<Ack>,
    ) -> Result<(), ConnectionEnd> {
        let Some(ack) = ack else { return Ok(()) };
        if ack.kind == AckKind::PubRec {
            self.presence.mailbox.lock().session.unreceive(ack.id);
        }
        self.acknowledge_now(Ack { reason: refusal.reason, text: Some(refusal.text), ..ack })
    }

    /// Counts a refusal and logs it, at most one line a minute for each client and kind of refusal, also over several connections.
    pub(crate) fn log_refusal(&mut self, what: &'static str, topic: &str, text: &str) {
        self.log_line((what, what), topic, text);
    }

    pub(crate) fn log_line(&mut self, (what, kind): (&'static str, &'static str), topic: &str, text: &str) {
        let Presence { shared, device, mailbox, .. } = &self.presence;
        shared.metrics.refuse(what);
        if let Some(device) = device {
            let (kind, message) = (ErrorKind::PermissionDenied, format!("{topic}: {what} refused: {text}"));
            device.record_error(DeviceError { time_ms: clock::now_ms(), kind, message });
        }
        if let Some(more) = shared.client_lines.allow((mailbox.name.clone(), kind), Instant::now()) {
            tracing::warn!(client = %mailbox.name, topic, "{what} refused: {text}{more}");
        }
    }

    pub(crate) fn acknowledge_now(&self, ack: Ack) -> Result<(), ConnectionEnd> {
        let mut state = self.presence.mailbox.lock();
        state.session.ack(ack);
        self.check_receive_maximum(state.session.unacknowledged())
    }

    pub(crate) fn check_receive_maximum(&self, unacknowledged: usize) -> Result<(), ConnectionEnd> {
        if self.peer.version == Version::V5 && unacknowledged > usize::from(limits::RECEIVE_MAXIMUM) {
            return Err(Fault::new(reason::RECEIVE_MAXIMUM, "more publishes under way than the receive maximum").into());
        }
        Ok(())
    }
}
