//! One client's connection, and the one loop that waits for its socket, its mailbox and the time. While nothing happens it holds no buffers.
//! The files beside it say what each of these brings about.

pub(crate) mod batch;
mod client_publish;
mod deadlines;
pub(crate) mod finish;
mod inbound;
mod publish;
mod read;
mod refuse;
mod retained;
mod revalidate;
mod submit;
pub(crate) mod subscribe;
mod twin;
mod unwritten;
mod window;
mod write;

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{io::Interest, time::Sleep};

use self::{retained::RetainedLeft, unwritten::Unwritten, window::SlowState};
use crate::{end::ConnectionEnd, presence::Presence, socket::Socket};
use switchbox_model::limits;
use switchbox_mqtt_codec::{
    decode::Decoder,
    encode::Peer,
    fault::{Fault, reason},
};
use switchbox_support::{
    clock,
    scheduling::{Metered, PriorityClass},
};

/// Bytes of answers that may wait before a client is read no more.
const UNSENT_BYTES: usize = 256 * 1024;
/// Packets after which others have their turn. A client whose next packet is always there already would else never let its
/// thread go, and with it the thread that looks after all sockets.
const TURN_PACKETS: u32 = 256;

/// Why a connection is served no more, where it was.
enum Stop {
    End(ConnectionEnd),
    Migrate,
}

impl From<ConnectionEnd> for Stop {
    fn from(end: ConnectionEnd) -> Self {
        Self::End(end)
    }
}

/// A client that was let in.
pub(crate) struct Admitted {
    pub(crate) presence: Presence,
    pub(crate) peer: Peer,
    pub(crate) decoder: Decoder,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) connection_epoch: u64,
    /// Starts with CONNACK.
    pub(crate) unsent: BytesMut,
    pub(crate) expires_at: Option<Instant>,
}

/// A connection that goes on in another priority class; none when it has ended.
pub(crate) type Migration = Option<Box<Connection>>;

pub(crate) struct Connection {
    pub(crate) presence: Presence,
    pub(crate) peer: Peer,
    pub(crate) connection_epoch: u64,
    /// Bytes that wait to be written, before all that is in the mailbox.
    pub(crate) unsent: BytesMut,
    /// Topics by their aliases, from 1.
    pub(crate) aliases: Vec<Option<Arc<str>>>,
    /// Of new subscriptions, what there was no room for yet.
    pub(crate) retained_left: Vec<RetainedLeft>,
    /// It is about to end: nothing but acknowledgements is written any more.
    pub(crate) is_ending: bool,
    /// The log has told that events of this client are dropped.
    pub(crate) drops_logged: bool,
    pub(crate) slow: Option<Box<SlowState>>,
    pub(crate) unwritten: Unwritten,
    pub(crate) stream: Socket,
    decoder: Decoder,
    /// Bytes of a packet that is not whole.
    partial: BytesMut,
    /// What is wrong with the bytes after the packets that were read last.
    fault: Option<Fault>,
    /// 0 = for ever.
    keep_alive_ms: u32,
    last_packet: Instant,
    blocked_since: Option<Instant>,
    /// Since when the rest of a packet is missing.
    partial_since: Option<Instant>,
    /// When what the client was let in by runs out.
    pub(crate) expires_at: Option<Instant>,
    /// Packets since the connection last let others have their turn.
    turn: u32,
    /// Whose threads it is served on.
    pub(crate) class: PriorityClass,
}

impl Connection {
    pub(crate) fn new(stream: Socket, partial: BytesMut, admitted: Admitted) -> Self {
        // While nothing comes, nothing is held.
        let partial = if partial.is_empty() { BytesMut::new() } else { partial };
        let Admitted { presence, peer, decoder, keep_alive, connection_epoch, unsent, expires_at } = admitted;
        Self {
            presence,
            peer,
            connection_epoch,
            unsent,
            aliases: Vec::new(),
            retained_left: Vec::new(),
            is_ending: false,
            drops_logged: false,
            slow: None,
            unwritten: Unwritten::default(),
            stream,
            decoder,
            partial,
            fault: None,
            keep_alive_ms: keep_alive.map_or(0, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX)),
            last_packet: clock::instant(),
            blocked_since: None,
            partial_since: None,
            expires_at,
            turn: 0,
            class: PriorityClass::Background,
        }
    }

    /// Serves the client until it ends, or somebody asks for its end; or until it is to go on in another priority class, and gives it
    /// back. Boxed, lest the task have room for it several times.
    pub(crate) async fn run(mut self: Box<Self>) -> Migration {
        match Metered::new(self.presence.cpu_budget.clone(), self.class, self.serve()).await {
            Stop::End(end) => Box::pin(self.finish(end)).await,
            Stop::Migrate => return Some(self),
        }
        None
    }

    /// As [`Self::run`], on other threads than before.
    pub(crate) async fn resume_here(mut self: Box<Self>) -> Migration {
        if let Err(error) = self.stream.move_here() {
            // Such as for want of file descriptors: then those threads wake these.
            tracing::debug!(%error, client = %self.presence.mailbox.name, "the socket stays where it was");
        }
        self.run().await
    }

    async fn serve(&mut self) -> Stop {
        let timer = tokio::time::sleep_until(self.deadline(clock::instant()).into());
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
        self.presence.mailbox.work.clear();
        self.check_journal()?;
        self.revalidate_if_requested()?;
        if !self.partial.is_empty() {
            let packets = self.decode_partial();
            // What came with CONNECT may end in half a packet, too.
            self.update_partial_since(!packets.is_empty());
            Box::pin(self.process(packets)).await?;
        }
        if let Some(fault) = self.fault.take() {
            self.log_if_large(&fault);
            return Err(Stop::End(fault.into()));
        }
        self.write()?;
        let now = clock::instant();
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
        let interest = self.interest();
        loop {
            let Self { stream, presence, .. } = &*self;
            tokio::select! {
                ready = stream.ready(interest.unwrap_or(Interest::WRITABLE)), if interest.is_some() => {
                    if ready.map_err(ConnectionEnd::from)?.is_readable() && self.reads() {
                        let packets = self.read()?;
                        self.turn += u32::try_from(packets.len()).unwrap_or(TURN_PACKETS) + 1;
                        // Large, and soon over: no connection shall have room for it all the time.
                        Box::pin(self.process(packets)).await?;
                    }
                }
                close = presence.mailbox.asked_to_close() => return Err(ConnectionEnd::Closed(close).into()),
                // For what it has written already, such as what it published to itself, it need not go round once more.
                () = presence.mailbox.work.notified() => if !presence.mailbox.work.is_woken() { continue },
                () = timer.as_mut() => {
                    let now = clock::instant();
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

    /// What to wait for at the socket. None: nothing.
    fn interest(&self) -> Option<Interest> {
        match (self.reads(), self.unsent.is_empty() && self.stream.is_flushed()) {
            (true, true) => Some(Interest::READABLE),
            (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
            (false, false) => Some(Interest::WRITABLE),
            (false, true) => None,
        }
    }

    /// A packet that is too large is counted, and the log says what bounds it.
    fn log_if_large(&mut self, fault: &Fault) {
        const SETTINGS: &str = "devices.max-telemetry-bytes, devices.max-state-bytes and mqtt.max-message-bytes";
        if fault.reason == reason::TOO_LARGE {
            self.presence.shared.metrics.limit(limits::names::PACKET_BYTES);
            let more = limits::PACKET_OVERHEAD_BYTES;
            let text =
                format!("{} bytes (limit: packet_bytes, {more} more than the largest of {SETTINGS})", fault.text);
            self.log_line(("packet", limits::names::PACKET_BYTES.as_str()), "", &text);
        }
    }

    /// Whether the client is still in the right priority class. Nothing of what it sent is under way here.
    fn check_priority_class(&mut self, now: Instant) -> Result<(), Stop> {
        let class = self.presence.cpu_budget.class(self.class, now);
        if class == self.class {
            return Ok(());
        }
        if class == PriorityClass::Background {
            self.presence.shared.metrics.limit(limits::names::PROCESSOR_SHARE);
        }
        self.class = class;
        Err(Stop::Migrate)
    }

    /// False while the client must first take what waits for it, or the journal what it sent.
    fn reads(&self) -> bool {
        self.unsent.len() < UNSENT_BYTES
            && !self.unwritten.is_full()
            && self.presence.mailbox.lock().session.acks_waiting() <= usize::from(limits::RECEIVE_MAXIMUM)
    }
}
