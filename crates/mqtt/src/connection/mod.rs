//! One client's socket: reads, hands on, writes what its mailbox has. While nothing happens it holds no buffers.

mod client_publish;
pub(crate) mod inbound;
pub(crate) mod linger;
mod retained;
mod revalidate;
pub(crate) mod subscribe;
mod window;

use std::{
    borrow::Cow,
    cell::RefCell,
    io,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use parking_lot::MutexGuard;
use tokio::{io::Interest, time::Sleep};

use crate::{
    connection::{retained::RetainedLeft, window::Slow},
    connection_tasks::Migration,
    end::{End, Presence},
    gateway::delivery::Receipts,
    handshake::Admitted,
    hub::Hub,
    outgoing,
    socket::Socket,
};
use switchbox_model::limits;
use switchbox_mqtt_codec::{
    decode::{Decoder, decode},
    encode::Peer,
    fault::{Fault, reason},
    packet::{Ack, AckKind, Packet},
};
use switchbox_mqtt_session::session::Frame;
use switchbox_support::scheduling::{self, Metered, PriorityClass};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 128 * 1024;
/// Bytes gathered before others may use the session in between: the log's writer, and publishers.
const LOCKED_BYTES: usize = 8 * 1024;
/// Packets after which others have their turn. A client whose next packet is always there already would else never let its
/// thread go, and with it the thread that looks after all sockets.
const TURN_PACKETS: usize = 256;
/// Bytes of answers that may wait before a client is read no more.
const UNSENT_BYTES: usize = 256 * 1024;

thread_local! {
    /// Where a worker thread reads into, and where it gathers what it writes: never kept across an await.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
    static WRITE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Why a connection is served no more, where it was.
enum Stop {
    End(End),
    Move,
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

pub(crate) struct Connection<H: Hub> {
    pub(crate) presence: Presence<H>,
    pub(crate) peer: Peer,
    pub(crate) generation: u64,
    /// Bytes that wait to be written, before all that is in the mailbox.
    pub(crate) unsent: BytesMut,
    /// Topics by their aliases, from 1.
    pub(crate) aliases: Vec<Option<Arc<str>>>,
    /// Of new subscriptions, what there was no room for yet.
    pub(crate) retained_left: Vec<RetainedLeft>,
    /// It is about to end: nothing but acknowledgements is written any more.
    pub(crate) ends: bool,
    /// The log has told that events of this client are dropped.
    pub(crate) told_of_shedding: bool,
    pub(crate) slow: Option<Box<Slow>>,
    pub(crate) stream: Socket,
    decoder: Decoder,
    /// Bytes of a packet that is not whole.
    partial: BytesMut,
    /// What is wrong with the bytes after the packets that were read last.
    fault: Option<Fault>,
    keep_alive: Option<Duration>,
    heard: Instant,
    blocked_since: Option<Instant>,
    /// Since when the rest of a packet is missing.
    partial_since: Option<Instant>,
    /// When what the client was let in by runs out.
    pub(crate) runs_out: Option<Instant>,
    /// Packets since the connection last let others have their turn.
    turn: usize,
    /// Whose threads it is served on.
    pub(crate) lane: PriorityClass,
}

impl<H: Hub> Connection<H> {
    pub(crate) fn new(stream: Socket, partial: BytesMut, admitted: Admitted<H>) -> Self {
        // While nothing comes, nothing is held.
        let partial = if partial.is_empty() { BytesMut::new() } else { partial };
        let Admitted { presence, peer, decoder, keep_alive, generation, unsent, runs_out } = admitted;
        Self {
            presence,
            peer,
            generation,
            unsent,
            aliases: Vec::new(),
            retained_left: Vec::new(),
            ends: false,
            told_of_shedding: false,
            slow: None,
            stream,
            decoder,
            partial,
            fault: None,
            keep_alive,
            heard: Instant::now(),
            blocked_since: None,
            partial_since: None,
            runs_out,
            turn: 0,
            lane: PriorityClass::Background,
        }
    }

    /// Serves the client until it ends, or somebody asks for its end; or until it is to go on in another lane, and gives it
    /// back. Boxed, lest the task have room for it several times.
    pub(crate) async fn run(mut self: Box<Self>) -> Migration<H> {
        match Metered::new(self.presence.share.clone(), self.lane, self.serve()).await {
            Stop::End(end) => Box::pin(self.finish(end)).await,
            Stop::Move => return Some(self),
        }
        None
    }

    /// As [`Self::run`], on other threads than before.
    pub(crate) async fn go_on(mut self: Box<Self>) -> Migration<H> {
        if let Err(error) = self.stream.move_here() {
            // Such as for want of file descriptors: then those threads wake these.
            tracing::debug!(%error, client = %self.presence.mailbox.name, "the socket stays where it was");
        }
        self.run().await
    }

    async fn serve(&mut self) -> Stop {
        let timer = tokio::time::sleep_until(self.deadline(Instant::now()).into());
        tokio::pin!(timer);
        loop {
            match self.step(timer.as_mut()).await {
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
    }

    /// Writes what there is, then waits for the next thing to happen and does it. What it has begun to process it ends, also
    /// where the connection is to end meanwhile: what waits there knows of that.
    async fn step(&mut self, mut timer: Pin<&mut Sleep>) -> Result<(), Stop> {
        self.presence.mailbox.work.begin_look();
        self.revalidate_if_requested()?;
        if !self.partial.is_empty() {
            let packets = self.decode_partial();
            // What came with CONNECT may end in half a packet, too.
            self.note_partial(!packets.is_empty());
            Box::pin(self.process(packets)).await?;
        }
        if let Some(fault) = self.fault.take() {
            self.note_if_large(&fault);
            return Err(Stop::End(fault.into()));
        }
        self.write()?;
        let now = Instant::now();
        self.check_priority_class(now)?;
        if self.has_room_for_retained() {
            Box::pin(self.send_retained()).await?;
            // There may be many times as many.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let deadline = self.deadline(now);
        if timer.deadline().into_std() > deadline {
            timer.as_mut().reset(deadline.into());
        }
        let interest = match (self.reads(), self.unsent.is_empty() && self.stream.is_flushed()) {
            (true, true) => Some(Interest::READABLE),
            (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
            (false, false) => Some(Interest::WRITABLE),
            (false, true) => None,
        };
        loop {
            let Self { stream, presence, .. } = &*self;
            tokio::select! {
                ready = stream.ready(interest.unwrap_or(Interest::WRITABLE)), if interest.is_some() => {
                    if ready.map_err(End::from)?.is_readable() && self.reads() {
                        let packets = self.read()?;
                        self.turn += packets.len() + 1;
                        // Large, and soon over: no connection shall have room for it all the time.
                        Box::pin(self.process(packets)).await?;
                    }
                }
                close = presence.mailbox.asked_to_close() => return Err(End::Closed(close).into()),
                // For what it has written already, such as what it published to itself, it need not go round once more.
                () = presence.mailbox.work.notified() => if !presence.mailbox.work.is_woken() { continue },
                () = timer.as_mut() => {
                    let now = Instant::now();
                    self.check_time(now)?;
                    timer.as_mut().reset(self.deadline(now).into());
                }
            }
            break;
        }
        if self.turn > TURN_PACKETS {
            self.turn = 0;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// A packet that is too large is counted, and the log says what bounds it.
    fn note_if_large(&mut self, fault: &Fault) {
        const SETTINGS: &str = "devices.max-telemetry-bytes, devices.max-state-bytes and mqtt.max-message-bytes";
        if fault.reason == reason::TOO_LARGE {
            self.presence.shared.metrics.limit(limits::names::PACKET_BYTES);
            let more = limits::PACKET_OVERHEAD_BYTES;
            let text =
                format!("{} bytes (limit: packet_bytes, {more} more than the largest of {SETTINGS})", fault.text);
            self.log_line(("packet", limits::names::PACKET_BYTES.as_str()), "", &text);
        }
    }

    /// Whether the client is still in the right lane. Nothing of what it sent is under way here.
    fn check_priority_class(&mut self, now: Instant) -> Result<(), Stop> {
        let lane = self.presence.share.lane(self.lane, now);
        if lane == self.lane {
            return Ok(());
        }
        if lane == PriorityClass::Background {
            self.presence.shared.metrics.limit(limits::names::PROCESSOR_SHARE);
        }
        self.lane = lane;
        Err(Stop::Move)
    }

    /// False while the client must first take what waits for it, or the journal what it sent.
    fn reads(&self) -> bool {
        self.unsent.len() < UNSENT_BYTES
            && !self.presence.mailbox.is_ahead()
            && self.presence.mailbox.lock().session.acks_waiting() <= usize::from(limits::RECEIVE_MAXIMUM)
    }

    /// When to look at the time next.
    fn deadline(&self, now: Instant) -> Instant {
        let keep_alive = self.keep_alive.map(|limit| self.heard + limit);
        let blocked = self.blocked_since.map(|since| since + self.presence.shared.options.write_deadline);
        let partial = self.partial_since.map(|since| since + self.presence.shared.options.packet_deadline);
        let attached = self.presence.gateway.as_ref().and_then(|gateway| gateway.runs_out());
        let others =
            self.runs_out.into_iter().chain(attached).chain(self.slow.as_ref().and_then(|slow| slow.window.deadline()));
        let next = keep_alive.into_iter().chain(blocked).chain(partial).chain(others).min();
        // A day: nothing to wait for.
        next.unwrap_or_else(|| now + Duration::from_secs(86_400)).max(now)
    }

    fn check_time(&mut self, now: Instant) -> Result<(), End> {
        let options = &self.presence.shared.options;
        if self.blocked_since.is_some_and(|since| now >= since + options.write_deadline) {
            self.presence.shared.metrics.limit(limits::names::WRITE_DEADLINE);
            let text = format!("the client did not read what is sent to it for {} s", options.write_deadline.as_secs());
            return Err(End::Late { limit: limits::names::WRITE_DEADLINE, text });
        }
        if self.partial_since.is_some_and(|since| now >= since + options.packet_deadline) && self.reads() {
            self.presence.shared.metrics.limit(limits::names::PACKET_DEADLINE);
            let secs = options.packet_deadline.as_secs();
            let text =
                format!("the client did not send the rest of a packet in {secs} s (mqtt.packet-deadline-seconds)");
            return Err(End::Late { limit: limits::names::PACKET_DEADLINE, text });
        }
        self.check_end(now)?;
        self.expire_attached(now);
        if self.slow.as_mut().is_some_and(|slow| slow.window.is_to_tell(now)) {
            self.tell_of_full_window();
        }
        let silent = self.keep_alive.is_some_and(|limit| now >= self.heard + limit);
        if silent && !self.reads() {
            // It is we who do not listen.
            self.heard = now;
        } else if silent {
            return Err(Fault::new(reason::KEEP_ALIVE, "keep-alive time is over").into());
        }
        Ok(())
    }

    /// Reads once, and gives the packets that are whole.
    pub(crate) fn read(&mut self) -> Result<Vec<Packet>, End> {
        let packet_bytes = self.packet_bytes();
        READ.with_borrow_mut(|scratch| {
            let length = match self.stream.try_read(scratch) {
                Ok(0) => return Err(End::Lost("connection closed by the client without DISCONNECT".into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.is_half_read() {
                        self.partial_since.get_or_insert_with(Instant::now);
                    }
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error.into()),
            };
            self.heard = Instant::now();
            let bytes = scratch.get(..length).unwrap_or_default();
            let packets = if self.partial.is_empty() {
                let (packets, rest) = decode(&mut self.decoder, bytes, packet_bytes, &mut self.fault);
                self.partial.extend_from_slice(rest);
                packets
            } else {
                self.partial.extend_from_slice(bytes);
                self.decode_partial()
            };
            self.note_partial(!packets.is_empty());
            Ok(packets)
        })
    }

    /// Since when the rest of a packet is missing: since the last that was whole, if there was one.
    fn note_partial(&mut self, some_whole: bool) {
        self.partial_since = match self.partial_since {
            _ if self.partial.is_empty() && !self.stream.is_half_read() => None,
            Some(since) if !some_whole => Some(since),
            _ => Some(Instant::now()),
        };
    }

    /// The largest packet that is read.
    fn packet_bytes(&self) -> usize {
        self.presence.shared.options.payloads.packet_bytes()
    }

    fn decode_partial(&mut self) -> Vec<Packet> {
        let packet_bytes = self.packet_bytes();
        let (packets, rest) = decode(&mut self.decoder, &self.partial, packet_bytes, &mut self.fault);
        let used = self.partial.len() - rest.len();
        self.partial.advance(used);
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        packets
    }

    /// Writes until there is nothing more, or the socket takes no more.
    pub(crate) fn write(&mut self) -> Result<(), End> {
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
                self.blocked_since.get_or_insert_with(Instant::now);
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
            scheduling::yield_if_due();
        }
    }

    /// Encodes what the mailbox has, and adds to `sent` what the hub wants to know of. True: there may be more.
    fn fill(&mut self, out: &mut BytesMut, sent: &mut Receipts) -> bool {
        let Presence { mailbox, device, shared, .. } = &self.presence;
        let device = device.as_ref().map(|device| &device.name.id);
        let now = Instant::now();
        let (mut published, mut taken) = (0, 0);
        let mut refused = Receipts::default();
        let mut state = mailbox.lock();
        let mut locked_until = out.len() + LOCKED_BYTES;
        let more = loop {
            if out.len() >= WRITE_BYTES {
                break true;
            }
            if out.len() >= locked_until {
                MutexGuard::bump(&mut state);
                locked_until = out.len() + LOCKED_BYTES;
            }
            let next = if self.ends { state.session.next_ack() } else { state.session.next(now) };
            match next {
                None => break false,
                Some(Frame::Ack(ack)) => self.peer.ack(&ack, out),
                Some(Frame::Publish { id, dup, item }) => {
                    published += 1;
                    // What is sent again leaves no room in the queue.
                    taken += u64::from(!dup);
                    if outgoing::publish(&mut self.peer, (id, dup), &item, device, now, out) {
                        sent.sent(&item, dup);
                    } else {
                        shared.metrics.drop_message("larger than the client takes");
                        let item = match item {
                            Cow::Owned(item) => Some(item),
                            Cow::Borrowed(_) => state.session.forget(id),
                        };
                        item.into_iter().for_each(|item| refused.add(item, false));
                    }
                }
            }
        };
        let stuck_on = if more { None } else { state.session.stuck_on() };
        if stuck_on.is_some() || self.slow.is_some() {
            self.slow.get_or_insert_default().window.note(stuck_on, now);
        }
        state.slow_consumer.took(taken);
        mailbox.drained(&mut state);
        let progress = state.session.take_progress();
        let record = state.record.filter(|_| !progress.is_empty());
        let held = progress.held.iter().map(|kept| Ack::new(AckKind::PubRel, kept.id)).collect::<Vec<_>>();
        let batch = (!held.is_empty()).then(|| state.session.ack_later(held));
        drop(state);
        if let Some(session) = record {
            self.note_progress(session, progress, batch);
        }
        self.acknowledged(refused);
        shared.metrics.publishes_out.inc_by(published);
        more
    }

    fn write_out(&mut self, out: &mut BytesMut) -> Result<(), End> {
        self.stream.try_flush()?;
        while !out.is_empty() {
            match self.stream.try_write(out) {
                Ok(0) => return Err(End::Lost("connection lost".into())),
                Ok(written) => out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
