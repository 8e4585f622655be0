//! Processes a client's packets: events go to the journal, messages to the topics, acknowledgements to the session. Runs of events are
//! journaled as one batch. Does not write to the socket.

use std::{iter, pin::Pin, time::Duration, vec};

use tracing::Instrument as _;

use crate::{
    connection::{Connection, batch::InboundBatch},
    device_delivery::DeliveryReports,
    end::ConnectionEnd,
};
use switchbox_model::{broker::BrokerChange, limits};
use switchbox_mqtt_codec::{
    encode,
    fault::Fault,
    packet::{AckKind, Disconnect, Packet},
};
use switchbox_support::{clock, threads};

/// Acknowledgements that share a lock of the session.
const ACKS_TOGETHER: usize = 64;

impl Connection {
    /// Processes the packets in their order. Boxed: this future is large and short-lived, and would enlarge every connection's task. Its span
    /// is within it, so an idle connection has none.
    pub(crate) fn process(
        &mut self,
        packets: Vec<Packet>,
    ) -> Pin<Box<impl Future<Output = Result<(), ConnectionEnd>>>> {
        let span = tracing::debug_span!("connection", client = %self.presence.mailbox.name);
        let payload_len = |packet: &Packet| match packet {
            Packet::Publish(publish) => Some(publish.payload.len()),
            _ => None,
        };
        let (publishes, bytes) =
            packets.iter().filter_map(payload_len).fold((0, 0), |(count, bytes), payload| (count + 1, bytes + payload));
        let metrics = &self.presence.shared.metrics;
        metrics.publishes_in.inc_by(publishes as u64);
        metrics.publish_bytes_in.inc_by(bytes as u64);
        metrics.packets_in.inc_by(packets.len() as u64);
        let processed = async move {
            let mut batch = InboundBatch { publishes, ..InboundBatch::default() };
            let acks = packets.iter().filter(|packet| matches!(packet, Packet::Ack { .. })).count();
            let mut reports = DeliveryReports::expecting(acks.min(ACKS_TOGETHER));
            let result = self.process_each(packets, &mut batch, &mut reports).await;
            self.report_deliveries(reports);
            // The packets before a faulty one are processed.
            self.submit(&mut batch).await?;
            result
        };
        Box::pin(processed.instrument(span))
    }

    /// Processes the packets up to the first that ends the connection. The caller submits the batch.
    async fn process_each(
        &mut self,
        packets: Vec<Packet>,
        batch: &mut InboundBatch,
        reports: &mut DeliveryReports,
    ) -> Result<(), ConnectionEnd> {
        let mut packets = packets.into_iter();
        while let Some(packet) = packets.next() {
            threads::yield_if_due();
            // The authorisation may have changed while an earlier packet waited.
            self.revalidate_if_requested()?;
            match packet {
                Packet::Publish(publish) => self.publish(publish, batch).await?,
                Packet::Ack { kind, id, reason } => {
                    self.acknowledge((kind, id, reason), &mut packets, reports, batch);
                }
                Packet::Ping => {
                    if let Some(device) = &self.presence.device {
                        device.record_ping(clock::now_ms());
                    }
                    self.presence.shared.metrics.packets_out.inc();
                    self.unsent.extend_from_slice(encode::PINGRESP);
                }
                Packet::Subscribe(subscribe) => {
                    self.submit(batch).await?;
                    // Boxed: this future is large and rare, and would enlarge every connection's task.
                    Box::pin(self.subscribe(*subscribe)).await?;
                }
                Packet::Unsubscribe { id, filters } => {
                    self.submit(batch).await?;
                    Box::pin(self.unsubscribe(id, &filters)).await?;
                }
                Packet::Disconnect(disconnect) => return Err(self.disconnect(&disconnect)),
            }
        }
        Ok(())
    }

    /// Gives an acknowledgement of the client to its session, and those that follow it in `packets`: they share the session's lock.
    fn acknowledge(
        &mut self,
        first: (AckKind, u16, u8),
        packets: &mut vec::IntoIter<Packet>,
        reports: &mut DeliveryReports,
        batch: &mut InboundBatch,
    ) {
        // What a gateway acknowledges is checked first, which takes the lock.
        let mut together = ACKS_TOGETHER;
        if self.presence.gateway.is_some() {
            self.check_expected(first.0, first.1);
            together = 1;
        }
        let mut state = self.presence.mailbox.lock();
        let session_num = state.session_num.filter(|_| state.durable);
        let session = &mut state.session;
        let following = iter::from_fn(|| match packets.as_slice().first() {
            Some(&Packet::Ack { kind, id, reason }) => packets.next().map(|_| (kind, id, reason)),
            _ => None,
        });
        for (kind, id, reason) in iter::once(first).chain(following).take(together) {
            let item = match kind {
                AckKind::PubAck => session.puback(id),
                AckKind::PubRec => session.pubrec(id, reason >= 0x80),
                AckKind::PubComp => {
                    session.pubcomp(id);
                    None
                }
                AckKind::PubRel => {
                    let ack = session.pubrel(id);
                    match session_num {
                        // Journaled before PUBCOMP is sent, because the client may use the identifier for another message after it.
                        Some(session) if ack.reason == 0 => {
                            batch.ordinary.pending.push(BrokerChange::PubRelReceived { session, id });
                            batch.ordinary.push(ack);
                        }
                        _ => session.ack(ack),
                    }
                    None
                }
            };
            if let Some(item) = item {
                // A reason code of 0x80 or more refuses the message.
                reports.add(item, reason < 0x80);
            }
        }
    }

    /// Sets the session expiry of a DISCONNECT, and returns the end of the connection.
    fn disconnect(&mut self, disconnect: &Disconnect) -> ConnectionEnd {
        if let Some(secs) = disconnect.session_expiry_secs {
            if !self.presence.may_keep && secs > 0 {
                return Fault::protocol("a session expiry in DISCONNECT after none in CONNECT").into();
            }
            let secs = secs.min(limits::SESSION_EXPIRY_SECS);
            // If the session could not be kept at CONNECT, it is not kept now either.
            if !self.presence.session_expiry.is_zero() {
                self.presence.session_expiry = Duration::from_secs(secs.into());
            }
        }
        ConnectionEnd::Disconnected { with_will: disconnect.with_will }
    }
}
