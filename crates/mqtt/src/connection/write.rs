//! Encodes acknowledgements and messages from the mailbox in batches, writes as much as the socket accepts, and reports sent deliveries.

use std::{borrow::Cow, cell::RefCell, io};

use bytes::{Buf as _, BytesMut};

use crate::{
    connection::Connection,
    device_delivery::{DeliveryReports, payload_len},
    encode_publish::{self, Receiver},
    end::ConnectionEnd,
    mailbox::State,
    presence::Presence,
};
use switchbox_model::{
    limits::names,
    registry::{DeviceError, ErrorKind},
};
use switchbox_mqtt_session::session::OutgoingPacket;
use switchbox_support::{clock, threads};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 128 * 1024;
/// After this many bytes the session's lock is released for a moment, for publishers that wait for it.
const LOCKED_BYTES: usize = 8 * 1024;

thread_local! {
    /// The write buffer of a worker thread. It is not held across an await.
    static WRITE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

impl Connection {
    /// Writes until the mailbox is empty or the socket accepts no more.
    pub(super) fn write(&mut self) -> Result<(), ConnectionEnd> {
        let mut sent = self.slow.as_mut().map(|slow| std::mem::take(&mut slow.sent)).unwrap_or_default();
        loop {
            let mut out = if self.unsent.is_empty() { WRITE.take() } else { std::mem::take(&mut self.unsent) };
            let more = self.fill(&mut out, &mut sent);
            let result = self.write_out(&mut out);
            if out.is_empty() {
                out.clear();
                WRITE.set(if out.capacity() <= 2 * WRITE_BYTES { out } else { BytesMut::new() });
            } else {
                self.unsent = out;
            }
            let blocked = !self.unsent.is_empty() || !self.stream.is_flushed();
            if blocked {
                self.blocked_since.get_or_insert_with(clock::instant);
                if !sent.is_empty() {
                    self.slow.get_or_insert_default().sent = std::mem::take(&mut sent);
                }
            } else {
                self.blocked_since = None;
                self.acknowledged(std::mem::take(&mut sent));
            }
            result?;
            if !more || blocked {
                return Ok(());
            }
            threads::yield_if_due();
        }
    }

    /// Reports encoded deliveries as sent, because they may have reached the client.
    pub(crate) fn record_sent(&mut self) {
        if let Some(slow) = &mut self.slow {
            let sent = std::mem::take(&mut slow.sent);
            self.acknowledged(sent);
        }
    }

    pub(crate) fn report_full_window(&self) {
        let Presence { mailbox, device, shared, .. } = &self.presence;
        shared.metrics.limit(names::IN_FLIGHT_WINDOW);
        let text = "the client acknowledges nothing: as many messages as it may have await its PUBACK, and what is for it waits";
        tracing::warn!(client = %mailbox.name, limit = %names::IN_FLIGHT_WINDOW, "{text}");
        if let Some(device) = device {
            let (kind, message) = (ErrorKind::InvalidArgument, text.to_owned());
            device.failed(DeviceError { time_ms: clock::now_ms(), kind, message });
        }
    }

    /// Encodes packets from the mailbox, and adds their delivery reports to `sent`. Returns true if there may be more.
    fn fill(&mut self, out: &mut BytesMut, sent: &mut DeliveryReports) -> bool {
        let Presence { mailbox, device, shared, dialect, .. } = &self.presence;
        let now = clock::instant();
        let (mut packets, mut published, mut taken) = (0, (0, 0), 0);
        let mut refused = DeliveryReports::default();
        let committed = shared.host.ingest.committed();
        self.unwritten.commit(committed);
        let mut state = mailbox.lock();
        state.session.commit(committed);
        mailbox.purge_if_requested(&mut state);
        let (mut locked_until, mut change) = (out.len() + LOCKED_BYTES, String::new());
        let more = loop {
            if out.len() >= WRITE_BYTES {
                break true;
            }
            if out.len() >= locked_until {
                state.bump();
                locked_until = out.len() + LOCKED_BYTES;
            }
            let State { session, known_config, .. } = &mut *state;
            let next = if self.is_ending { session.next_ack() } else { session.next(now) };
            packets += u64::from(next.is_some());
            match next {
                None => break false,
                Some(OutgoingPacket::Ack(ack)) => self.peer.ack(&ack, out),
                Some(OutgoingPacket::Publish { id, dup, item }) => {
                    published.0 += 1;
                    // A retransmission frees no place in the queue, as its first transmission did.
                    taken += u64::from(!dup);
                    let traces = &shared.metrics.traces;
                    let (device, change) = (device.as_ref(), &mut change);
                    let receiver = Receiver { device, dialect: *dialect, known_config, change, traces };
                    if encode_publish::publish(&mut self.peer, (id, dup), &item, receiver, now, out) {
                        published.1 += payload_len(&item) as u64;
                        sent.sent(&item, dup);
                    } else {
                        shared.metrics.drop_message("larger than the client takes");
                        let item = if let Cow::Owned(item) = item { Some(item) } else { session.forget(id) };
                        item.into_iter().for_each(|item| refused.add(item, false));
                    }
                }
            }
        };
        let blocking_packet_id = if more { None } else { state.session.blocking_packet_id() };
        if blocking_packet_id.is_some() || self.slow.is_some() {
            self.slow.get_or_insert_default().window.update(blocking_packet_id, now);
        }
        state.slow_consumer.took(taken);
        mailbox.notify_room(&mut state);
        let progress = state.session.take_progress();
        let session_num = state.session_num.filter(|_| !progress.is_empty());
        drop(state);
        if let Some(session) = session_num {
            self.journal_progress(session, progress);
        }
        self.acknowledged(refused);
        shared.metrics.sent(packets, published);
        more
    }

    fn write_out(&mut self, out: &mut BytesMut) -> Result<(), ConnectionEnd> {
        self.stream.try_flush()?;
        while !out.is_empty() {
            match self.stream.try_write(out) {
                Ok(0) => return Err(ConnectionEnd::Lost("connection lost".into())),
                Ok(written) => {
                    self.presence.shared.metrics.bytes_out.inc_by(written as u64);
                    out.advance(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
