//! Encodes acknowledgements and messages from the mailbox in batches, writes as much as the socket accepts, and reports sent deliveries.

use std::{cell::RefCell, io, time::Instant};

use bytes::{Buf as _, BytesMut};

use crate::{
    connection::Connection,
    device_delivery::{DeliveryReports, DeviceDelivery, payload_len},
    encode_publish::{self, Receiver},
    end::ConnectionEnd,
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
/// Packets taken from the session at once.
const TAKEN_PACKETS: usize = 128;
/// Packets encoded before the next write, also if all of them are dropped because they are larger than the client accepts.
const ENCODED_PACKETS: u64 = 4096;
/// Writes after which the task does its other work, however fast the client reads.
const WRITES_PER_TURN: usize = 16;

type TakenPackets = Vec<OutgoingPacket<DeviceDelivery>>;

thread_local! {
    /// The write buffer of a worker thread. It is not held across an await.
    static WRITE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    /// Memory for the packets that are encoded next, kept and taken as the write buffer is.
    static TAKEN: RefCell<TakenPackets> = const { RefCell::new(Vec::new()) };
}

impl Connection {
    /// Writes until the mailbox is empty or the socket accepts no more.
    pub(super) fn write(&mut self) -> Result<(), ConnectionEnd> {
        let mut sent = self.slow_state.as_mut().map(|slow| std::mem::take(&mut slow.sent)).unwrap_or_default();
        for _ in 0..WRITES_PER_TURN {
            let mut out = if self.unsent.is_empty() { WRITE.take() } else { std::mem::take(&mut self.unsent) };
            let has_more = self.fill(&mut out, &mut sent);
            let result = self.write_out(&mut out);
            if out.is_empty() {
                out.clear();
                WRITE.set(if out.capacity() <= 2 * WRITE_BYTES { out } else { BytesMut::new() });
            } else {
                self.unsent = out;
            }
            let is_blocked = !self.unsent.is_empty() || !self.stream.is_flushed();
            if is_blocked {
                self.blocked_since.get_or_insert_with(clock::instant);
                if !sent.is_empty() {
                    self.slow_state.get_or_insert_default().sent = std::mem::take(&mut sent);
                }
            } else {
                self.blocked_since = None;
                self.report_deliveries(std::mem::take(&mut sent));
            }
            result?;
            if !has_more || is_blocked {
                return Ok(());
            }
            threads::yield_if_due();
        }
        self.presence.mailbox.work.wake_now();
        Ok(())
    }

    /// Reports encoded deliveries as sent, because they may have reached the client.
    pub(crate) fn record_sent(&mut self) {
        if let Some(slow) = &mut self.slow_state {
            let sent = std::mem::take(&mut slow.sent);
            self.report_deliveries(sent);
        }
    }

    pub(crate) fn report_full_window(&self) {
        let Presence { mailbox, device, shared, .. } = &self.presence;
        shared.metrics.limit(names::IN_FLIGHT_WINDOW);
        let text = "the client acknowledges nothing: as many messages as it may have await its PUBACK, and what is for it waits";
        tracing::warn!(client = %mailbox.name, limit = %names::IN_FLIGHT_WINDOW, "{text}");
        if let Some(device) = device {
            let (kind, message) = (ErrorKind::InvalidArgument, text.to_owned());
            device.record_error(DeviceError { time_ms: clock::now_ms(), kind, message });
        }
    }

    /// Encodes packets from the mailbox, and adds their delivery reports to `sent`. Returns true if there may be more. The session's lock is
    /// held while packets are taken, not while they are encoded. They keep their order, because only this task takes any.
    fn fill(&mut self, out: &mut BytesMut, sent: &mut DeliveryReports) -> bool {
        let now = clock::instant();
        let (mut packets, mut messages, mut payload_bytes, mut change) = (0, 0, 0, String::new());
        let (mut taken, mut refused) = (TAKEN.take(), DeliveryReports::default());
        let (has_more, blocking_packet_id) = loop {
            let (mut has_more, blocking_packet_id) =
                self.take_packets(&mut taken, WRITE_BYTES.saturating_sub(out.len()), now);
            let Self { peer, presence: Presence { mailbox, device, shared, dialect, .. }, .. } = self;
            packets += taken.len() as u64;
            for packet in taken.drain(..) {
                let (id, dup, item) = match packet {
                    OutgoingPacket::Ack(ack) => {
                        peer.ack(&ack, out);
                        continue;
                    }
                    OutgoingPacket::Publish { id, dup, item } => (id, dup, item),
                };
                messages += 1;
                let (device, change, traces) = (device.as_ref(), &mut change, &shared.metrics.traces);
                let receiver = Receiver { device, dialect: *dialect, mailbox, change, traces };
                if encode_publish::publish(peer, (id, dup), &item, receiver, now, out) {
                    payload_bytes += payload_len(&item) as u64;
                    sent.add_sent(&item, dup);
                } else {
                    shared.metrics.drop_message("larger than the client takes");
                    // 0 is the identifier of QoS 0, which is not in flight. What is in flight may have been withdrawn meanwhile.
                    let item = if id == 0 { Some(item) } else { mailbox.lock().session.forget(id) };
                    item.into_iter().for_each(|item| refused.add(item, false));
                    // The dropped message has left room in the window, and the session has progress to journal.
                    has_more = true;
                }
            }
            if !has_more || out.len() >= WRITE_BYTES || packets >= ENCODED_PACKETS {
                break (has_more, blocking_packet_id.filter(|_| !has_more));
            }
        };
        TAKEN.set(taken);
        if blocking_packet_id.is_some() || self.slow_state.is_some() {
            self.slow_state.get_or_insert_default().window.update(blocking_packet_id, now);
        }
        self.report_deliveries(refused);
        self.presence.shared.metrics.sent(packets, (messages, payload_bytes));
        has_more
    }

    /// Takes packets from the session, about this many bytes. Returns whether there may be more. If not, also returns the packet identifier
    /// whose acknowledgement the waiting messages need, if there is one.
    fn take_packets(&mut self, taken: &mut TakenPackets, bytes: usize, now: Instant) -> (bool, Option<u16>) {
        let Presence { mailbox, shared, .. } = &self.presence;
        let committed = shared.host.ingest.committed();
        self.unwritten.record_committed(committed);
        let mut state = mailbox.lock();
        state.session.commit(committed);
        mailbox.purge_if_requested(&mut state);
        let (mut bytes_left, mut freed_places) = (bytes, 0);
        let has_more = loop {
            if bytes_left == 0 || taken.len() >= TAKEN_PACKETS {
                break true;
            }
            let session = &mut state.session;
            let next = if self.is_ending { session.next_ack() } else { session.next(now) };
            let Some(packet) = next else { break false };
            if let OutgoingPacket::Publish { dup, item, .. } = &packet {
                bytes_left = bytes_left.saturating_sub(item.size());
                // A retransmission frees no place in the queue, as its first transmission did.
                freed_places += u64::from(!dup);
            }
            taken.push(packet);
        };
        let blocking_packet_id = if has_more { None } else { state.session.blocking_packet_id() };
        state.slow_consumer.record_sent(freed_places);
        mailbox.notify_room(&mut state);
        let progress = state.session.take_progress();
        let session_num = state.session_num.filter(|_| !progress.is_empty());
        drop(state);
        if let Some(session) = session_num {
            self.journal_progress(session, progress);
        }
        (has_more, blocking_packet_id)
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
