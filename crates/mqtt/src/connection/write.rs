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
/// Packets encoded before they are written, also if all of them are dropped because the client takes none of this size.
const ENCODED_PACKETS: u64 = 4096;
/// Writes after which the task looks at what else there is to do, however fast the client reads.
const WRITES: usize = 16;

type TakenPackets = Vec<OutgoingPacket<'static, DeviceDelivery>>;

thread_local! {
    /// The write buffer of a worker thread. It is not held across an await.
    static WRITE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    /// Memory for the packets that are encoded next, in the same way.
    static TAKEN: RefCell<TakenPackets> = const { RefCell::new(Vec::new()) };
}

impl Connection {
    /// Writes until the mailbox is empty or the socket accepts no more.
    pub(super) fn write(&mut self) -> Result<(), ConnectionEnd> {
        let mut sent = self.slow.as_mut().map(|slow| std::mem::take(&mut slow.sent)).unwrap_or_default();
        for _ in 0..WRITES {
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
                self.report_deliveries(std::mem::take(&mut sent));
            }
            result?;
            if !more || blocked {
                return Ok(());
            }
            threads::yield_if_due();
        }
        self.presence.mailbox.work.wake_now();
        Ok(())
    }

    /// Reports encoded deliveries as sent, because they may have reached the client.
    pub(crate) fn record_sent(&mut self) {
        if let Some(slow) = &mut self.slow {
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
        let (more, blocking_packet_id) = loop {
            let (mut more, blocking_packet_id) =
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
                let (device, known_config, change) = (device.as_ref(), &mailbox.known_config, &mut change);
                let receiver =
                    Receiver { device, dialect: *dialect, known_config, change, traces: &shared.metrics.traces };
                if encode_publish::publish(peer, (id, dup), &item, receiver, now, out) {
                    payload_bytes += payload_len(&item) as u64;
                    sent.sent(&item, dup);
                } else {
                    shared.metrics.drop_message("larger than the client takes");
                    // 0 is the identifier of QoS 0, which is not in flight. What is in flight may have been withdrawn meanwhile.
                    let item = if id == 0 { Some(item.into_owned()) } else { mailbox.lock().session.forget(id) };
                    item.into_iter().for_each(|item| refused.add(item, false));
                    // It has made room in the window, and the session has progress to journal.
                    more = true;
                }
            }
            if !more || out.len() >= WRITE_BYTES || packets >= ENCODED_PACKETS {
                break (more, blocking_packet_id.filter(|_| !more));
            }
        };
        TAKEN.set(taken);
        if blocking_packet_id.is_some() || self.slow.is_some() {
            self.slow.get_or_insert_default().window.update(blocking_packet_id, now);
        }
        self.report_deliveries(refused);
        self.presence.shared.metrics.sent(packets, (messages, payload_bytes));
        more
    }

    /// Takes packets from the session, about this many bytes. Returns whether there may be more; if not, also the packet identifier that
    /// others wait for.
    fn take_packets(&mut self, taken: &mut TakenPackets, bytes: usize, now: Instant) -> (bool, Option<u16>) {
        let Presence { mailbox, shared, .. } = &self.presence;
        let committed = shared.host.ingest.committed();
        self.unwritten.commit(committed);
        let mut state = mailbox.lock();
        state.session.commit(committed);
        mailbox.purge_if_requested(&mut state);
        let (mut left, mut freed_places) = (bytes, 0);
        let more = loop {
            if left == 0 || taken.len() >= TAKEN_PACKETS {
                break true;
            }
            let session = &mut state.session;
            let next = if self.is_ending { session.next_ack() } else { session.next(now) };
            let Some(packet) = next else { break false };
            if let OutgoingPacket::Publish { dup, item, .. } = &packet {
                left = left.saturating_sub(item.size());
                // A retransmission frees no place in the queue, as its first transmission did.
                freed_places += u64::from(!dup);
            }
            taken.push(packet.into_owned());
        };
        let blocking_packet_id = if more { None } else { state.session.blocking_packet_id() };
        state.slow_consumer.record_sent(freed_places);
        mailbox.notify_room(&mut state);
        let progress = state.session.take_progress();
        let session_num = state.session_num.filter(|_| !progress.is_empty());
        drop(state);
        if let Some(session) = session_num {
            self.journal_progress(session, progress);
        }
        (more, blocking_packet_id)
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
