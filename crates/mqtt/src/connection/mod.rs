//! One client's connection: the loop that waits for its socket, its mailbox and its deadlines. An idle connection holds no buffers. The
//! other files of this module process what the loop finds.

pub(crate) mod batch;
mod client_publish;
mod deadlines;
pub(crate) mod finish;
mod inbound;
mod publish;
mod read;
mod refuse;
mod register;
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

use self::{unwritten::Unwritten, window::SlowState};
use crate::{
    cpu_budget::{Metered, PriorityClass},
    end::ConnectionEnd,
    presence::Presence,
    socket::Socket,
};
use switchbox_model::{QoS, limits};
use switchbox_mqtt_codec::{
    decode::Decoder,
    encode::Peer,
    fault::{Fault, reason},
};
use switchbox_support::clock;

/// The socket is not read while this many bytes wait to be written.
const UNSENT_BYTES: usize = 256 * 1024;
/// The task yields after this many packets. Otherwise a client that always has another packet ready would keep its thread, and with
/// it the thread that polls all sockets.
const YIELD_AFTER_PACKETS: u32 = 256;

/// Why the loop ends.
enum Stop {
    End(ConnectionEnd),
    Migrate,
}

impl From<ConnectionEnd> for Stop {
    fn from(end: ConnectionEnd) -> Self {
        Self::End(end)
    }
}

/// An admitted client, from which its [`Connection`] is made.
pub(crate) struct Admitted {
    pub(crate) presence: Presence,
    pub(crate) peer: Peer,
    pub(crate) decoder: Decoder,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) connection_epoch: u64,
    /// Bytes to write first; they start with CONNACK.
    pub(crate) unsent: BytesMut,
    /// When the token, key or certificate expires that admitted the client. `None`: never.
    pub(crate) expires_at: Option<Instant>,
}

/// The position in the retained messages of one subscription.
pub(crate) struct RetainedCursor {
    pub(crate) filter: Box<str>,
    pub(crate) qos: QoS,
    /// The subscription identifier, if the client gave one.
    pub(crate) id: Option<u32>,
    /// The topic of the last message that was queued. Is `None` at the start.
    pub(crate) after: Option<Arc<str>>,
}

/// A connection that has to continue in another priority class; `None` if it has ended.
pub(crate) type Migration = Option<Box<Connection>>;

/// The connection of one admitted client, with everything that its task keeps while it waits.
pub(crate) struct Connection {
    pub(crate) presence: Presence,
    pub(crate) peer: Peer,
    pub(crate) connection_epoch: u64,
    /// Bytes that are written before anything from the mailbox.
    pub(crate) unsent: BytesMut,
    /// Topics by their aliases, from 1. A slice takes 8 bytes less of each connection than a vector.
    pub(crate) aliases: Box<[Option<Arc<str>>]>,
    /// The positions of new subscriptions whose retained messages have not all been queued.
    pub(crate) retained_cursors: Vec<RetainedCursor>,
    /// The connection is ending: only acknowledgements are sent.
    pub(crate) is_ending: bool,
    /// The log has a line that events of this client are dropped.
    pub(crate) drops_logged: bool,
    /// `None` until the connection is slow, or publishes to a slow subscriber.
    pub(crate) slow_state: Option<Box<SlowState>>,
    /// What the client has sent that is not in the journal yet.
    pub(crate) unwritten: Unwritten,
    pub(crate) stream: Socket,
    decoder: Decoder,
    /// The bytes of an incomplete packet.
    partial: BytesMut,
    /// The fault in the bytes after the last complete packets.
    fault: Option<Fault>,
    /// 0 = no limit.
    keep_alive_ms: u32,
    /// When bytes of the client were last read. The keep-alive counts from here.
    last_read: Instant,
    /// Since when the socket has accepted no more bytes to write.
    blocked_since: Option<Instant>,
    /// Since when the rest of a packet is missing.
    partial_since: Option<Instant>,
    /// When the token, key or certificate expires that admitted the client.
    pub(crate) expires_at: Option<Instant>,
    packets_since_yield: u32,
    /// The priority class whose runtime the connection's task runs on.
    pub(crate) class: PriorityClass,
}

impl Connection {
    pub(crate) fn new(stream: Socket, partial: BytesMut, admitted: Admitted) -> Self {
        // An idle connection holds no buffer.
        let partial = if partial.is_empty() { BytesMut::new() } else { partial };
        let Admitted { presence, peer, decoder, keep_alive, connection_epoch, unsent, expires_at } = admitted;
        Self {
            presence,
            peer,
            connection_epoch,
            unsent,
            aliases: Box::default(),
            retained_cursors: Vec::new(),
            is_ending: false,
            drops_logged: false,
            slow_state: None,
            unwritten: Unwritten::default(),
            stream,
            decoder,
            partial,
            fault: None,
            keep_alive_ms: keep_alive.map_or(0, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX)),
            last_read: clock::instant(),
            blocked_since: None,
            partial_since: None,
            expires_at,
            packets_since_yield: 0,
            class: PriorityClass::Background,
        }
    }

    /// Serves the client until the connection ends. Returns the connection if it has to continue in another priority class. Boxed, so that
    /// the task's memory does not hold it several times.
    pub(crate) async fn run(mut self: Box<Self>) -> Migration {
        match Metered::new(self.presence.cpu_budget.clone(), self.class, self.serve()).await {
            Stop::End(end) => Box::pin(self.finish(end)).await,
            Stop::Migrate => return Some(self),
        }
        None
    }

    /// As [`Self::run`], on another runtime than before.
    pub(crate) async fn resume_here(mut self: Box<Self>) -> Migration {
        if let Err(error) = self.stream.move_here() {
            // This fails for example without a free file descriptor. The socket then stays registered with the other runtime, which wakes
            // this task.
            tracing::debug!(%error, client = %self.presence.mailbox.name, "the socket was not moved to the other runtime");
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

    /// Writes what is queued, then waits for the next event and processes it. Processing that has begun is not cancelled when the
    /// connection has to end: the code that waits there checks for that itself.
    async fn step(&mut self, mut timer: Pin<&mut Sleep>) -> Result<(), Stop> {
        self.presence.mailbox.work.clear();
        self.check_journal()?;
        self.revalidate_if_requested()?;
        if !self.partial.is_empty() {
            let packets = self.decode_partial();
            // The bytes after CONNECT may end in an incomplete packet.
            self.update_partial_since(!packets.is_empty());
            self.process(packets).await?;
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
            // There may be many more, so the task yields between pages.
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
                    if ready.map_err(ConnectionEnd::from)?.is_readable() && self.may_read() {
                        let packets = self.read()?;
                        self.packets_since_yield += u32::try_from(packets.len()).unwrap_or(YIELD_AFTER_PACKETS) + 1;
                        self.process(packets).await?;
                    }
                }
                close = presence.mailbox.asked_to_close() => return Err(ConnectionEnd::Closed(close).into()),
                // A wake-up for something that was written already, such as the client's own message, needs no further round.
                () = presence.mailbox.work.notify.notified() => if !presence.mailbox.work.is_woken() { continue },
                () = timer.as_mut() => {
                    let now = clock::instant();
                    self.check_time(now)?;
                    timer.as_mut().reset(self.deadline(now).into());
                }
            }
            break;
        }
        if self.packets_since_yield > YIELD_AFTER_PACKETS {
            self.packets_since_yield = 0;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// What to wait for at the socket. `None` if it is neither read nor written.
    fn interest(&self) -> Option<Interest> {
        match (self.may_read(), self.unsent.is_empty() && self.stream.is_flushed()) {
            (true, true) => Some(Interest::READABLE),
            (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
            (false, false) => Some(Interest::WRITABLE),
            (false, true) => None,
        }
    }

    /// Counts a packet that is too large, and logs which settings bound it.
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

    /// Returns an error if the client has to move to another priority class. Called when no packet of the client is being processed.
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

    /// Returns false while too much waits for the client to read, or too much of what it sent waits for the journal.
    fn may_read(&self) -> bool {
        self.unsent.len() < UNSENT_BYTES
            && !self.unwritten.would_fill(0)
            && self.presence.mailbox.lock().session.acks_waiting() <= usize::from(limits::RECEIVE_MAXIMUM)
    }
}
