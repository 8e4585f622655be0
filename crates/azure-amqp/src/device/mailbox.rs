//! What waits to be sent to a device: delivery puts it there, and the device's links take it. Bounded by number and bytes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use fe2o3_amqp_types::messaging::MessageId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use switchbox_azure::method_payload;
use switchbox_delivery::{Link, Outbound, OutboundCall, OutboundCommand};
use switchbox_model::{
    event,
    limits::{METHODS_IN_FLIGHT, SESSION_QUEUE, SESSION_QUEUE_BYTES, names},
};
use switchbox_store::ConfigVersion;
use switchbox_support::metrics::Metrics;

/// Answers to twin requests that may wait for their link.
const MAX_TWIN_ANSWERS: usize = 16;

/// The request to end a connection. The first reason counts.
#[derive(Default)]
pub(crate) struct Closing {
    reason: OnceLock<String>,
    notify: Notify,
}

impl Closing {
    fn request(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.notify.notify_one();
    }

    /// Waits for the request. One task of a connection waits.
    pub(crate) async fn requested(&self) -> String {
        loop {
            if let Some(reason) = self.reason.get() {
                return reason.clone();
            }
            self.notify.notified().await;
        }
    }
}

/// An answer to a request about the twin.
#[derive(Debug)]
pub(super) struct TwinAnswer {
    /// As the request has it.
    pub(super) correlation_id: Option<MessageId>,
    pub(super) status: i32,
    /// The new version of the reported properties.
    pub(super) version: Option<u64>,
    /// JSON, or empty.
    pub(super) body: Bytes,
}

/// What the link of the twin sends.
#[derive(Debug)]
pub(super) enum TwinItem {
    Answer(TwinAnswer),
    Desired(Arc<ConfigVersion>),
}

/// A command, and how often the device has abandoned it on this connection.
pub(super) struct WaitingCommand {
    pub(super) command: Outbound,
    pub(super) abandoned: u32,
}

#[derive(Default)]
struct Queues {
    commands: VecDeque<WaitingCommand>,
    calls: VecDeque<Outbound>,
    /// Bytes of all commands and calls.
    bytes: usize,
    answers: VecDeque<TwinAnswer>,
    /// The newest config that was not sent yet.
    config: Option<Arc<ConfigVersion>>,
}

/// The deliveries of one connection.
pub(crate) struct Mailbox {
    queues: Mutex<Queues>,
    commands: Notify,
    calls: Notify,
    twin: Notify,
    /// The link for commands gets them settled, so no acknowledgement can come.
    unconfirmed: AtomicBool,
    is_closed: AtomicBool,
    /// Only one link of each kind takes what waits; another one waits until that link has ended.
    pub(super) command_turn: tokio::sync::Mutex<()>,
    pub(super) call_turn: tokio::sync::Mutex<()>,
    pub(super) twin_turn: tokio::sync::Mutex<()>,
    /// The config that the device has, because it is sent only changes.
    pub(super) known_config: Mutex<Bytes>,
    closing: Arc<Closing>,
    metrics: Metrics,
}

impl Mailbox {
    pub(super) fn new(closing: Arc<Closing>, metrics: Metrics) -> Self {
        Self {
            queues: Mutex::default(),
            commands: Notify::new(),
            calls: Notify::new(),
            twin: Notify::new(),
            unconfirmed: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            command_turn: tokio::sync::Mutex::default(),
            call_turn: tokio::sync::Mutex::default(),
            twin_turn: tokio::sync::Mutex::default(),
            known_config: Mutex::default(),
            closing,
            metrics,
        }
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Whether commands that are sent from now on are acknowledged.
    pub(super) fn set_confirmed(&self, confirmed: bool) {
        self.unconfirmed.store(!confirmed, Ordering::Release);
    }

    /// The next command that has not expired.
    pub(super) async fn next_command(&self) -> WaitingCommand {
        loop {
            if let Some(waiting) = self.take_command() {
                return waiting;
            }
            self.commands.notified().await;
        }
    }

    fn take_command(&self) -> Option<WaitingCommand> {
        let mut queues = self.queues.lock();
        let now = Instant::now();
        while let Some(waiting) = queues.commands.pop_front() {
            queues.bytes = queues.bytes.saturating_sub(size(&waiting.command));
            // Delivery ends an expired command by itself.
            if !is_over(&waiting.command, now) {
                return Some(waiting);
            }
        }
        None
    }

    /// Puts commands back that were sent and not settled, in their order, before all others.
    pub(super) fn return_commands(&self, mut commands: Vec<WaitingCommand>) {
        commands.sort_by_key(|waiting| number(&waiting.command));
        let mut queues = self.queues.lock();
        for waiting in commands.into_iter().rev() {
            queues.bytes += size(&waiting.command);
            queues.commands.push_front(waiting);
        }
        drop(queues);
        self.commands.notify_one();
    }

    /// The next method call whose caller still waits.
    pub(super) async fn next_call(&self) -> Outbound {
        loop {
            if let Some(call) = self.take_call() {
                return call;
            }
            self.calls.notified().await;
        }
    }

    fn take_call(&self) -> Option<Outbound> {
        let mut queues = self.queues.lock();
        let now = Instant::now();
        while let Some(call) = queues.calls.pop_front() {
            queues.bytes = queues.bytes.saturating_sub(size(&call));
            if !is_over(&call, now) {
                return Some(call);
            }
        }
        None
    }

    /// Queues an answer. Returns false if too many wait.
    pub(super) fn answer(&self, answer: TwinAnswer) -> bool {
        let mut queues = self.queues.lock();
        if queues.answers.len() >= MAX_TWIN_ANSWERS {
            return false;
        }
        queues.answers.push_back(answer);
        drop(queues);
        self.twin.notify_one();
        true
    }

    /// What the link of the twin sends next: answers first, then the newest config.
    pub(super) async fn next_for_twin(&self) -> TwinItem {
        loop {
            {
                let mut queues = self.queues.lock();
                if let Some(answer) = queues.answers.pop_front() {
                    return TwinItem::Answer(answer);
                }
                if let Some(config) = queues.config.take() {
                    return TwinItem::Desired(config);
                }
            }
            self.twin.notified().await;
        }
    }

    /// A command or a call, if there is room for it.
    fn push(&self, item: Outbound) -> bool {
        let mut queues = self.queues.lock();
        let now = Instant::now();
        let is_call = matches!(item, Outbound::Method(_));
        if is_call && queues.calls.front().is_some_and(|oldest| is_over(oldest, now)) {
            queues.calls.retain(|call| !is_over(call, now));
            queues.bytes =
                queues.calls.iter().chain(queues.commands.iter().map(|waiting| &waiting.command)).map(size).sum();
        }
        let (waiting, most) =
            if is_call { (queues.calls.len(), METHODS_IN_FLIGHT) } else { (queues.commands.len(), SESSION_QUEUE) };
        let bytes = size(&item);
        if waiting >= most || queues.bytes + bytes > SESSION_QUEUE_BYTES {
            self.metrics.limit(names::SESSION_QUEUE);
            return false;
        }
        queues.bytes += bytes;
        if is_call {
            queues.calls.push_back(item);
        } else {
            queues.commands.push_back(WaitingCommand { command: item, abandoned: 0 });
        }
        true
    }
}

impl Link for Mailbox {
    fn queue(&self, item: Outbound) -> bool {
        if self.is_closed.load(Ordering::Acquire) {
            return false;
        }
        match item {
            Outbound::Config(config) => {
                self.queues.lock().config = Some(config);
                true
            }
            other => self.push(other),
        }
    }

    fn wake(&self) {
        let queues = self.queues.lock();
        let (commands, calls) = (!queues.commands.is_empty(), !queues.calls.is_empty());
        let twin = queues.config.is_some();
        drop(queues);
        for (has_work, notify) in [(commands, &self.commands), (calls, &self.calls), (twin, &self.twin)] {
            if has_work {
                notify.notify_one();
            }
        }
    }

    fn confirms_commands(&self) -> bool {
        !self.unconfirmed.load(Ordering::Acquire)
    }

    fn check_call(&self, payload: &[u8]) -> Result<(), &'static str> {
        method_payload::check(payload)
    }

    fn has_room(&self) -> bool {
        self.queues.lock().commands.is_empty()
    }

    fn close(&self, reason: &str) {
        self.is_closed.store(true, Ordering::Release);
        self.closing.request(reason);
    }
}

fn size(item: &Outbound) -> usize {
    let content = match item {
        Outbound::Command(command) => event::size(&command.properties) + size_of::<OutboundCommand>(),
        Outbound::Method(_) => size_of::<OutboundCall>(),
        Outbound::Config(_) => 0,
    };
    item.payload().len() + content + size_of::<Outbound>()
}

fn is_over(item: &Outbound, now: Instant) -> bool {
    match item {
        Outbound::Command(command) => command.expires.is_some_and(|at| at <= now),
        Outbound::Method(call) => call.expires <= now,
        Outbound::Config(_) => false,
    }
}

fn number(item: &Outbound) -> u64 {
    match item {
        Outbound::Command(command) => command.num,
        Outbound::Config(_) | Outbound::Method(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use switchbox_model::{Cause, DeviceNum};

    fn mailbox() -> Mailbox {
        Mailbox::new(Arc::default(), Metrics::default())
    }

    fn command(num: u64, bytes: usize, expires: Option<Instant>) -> Outbound {
        let payload = vec![0; bytes].into();
        let (id, subfolder, properties) = ("c".into(), "".into(), Box::default());
        OutboundCommand { num, id, subfolder, payload, properties, again: false, expires }.into()
    }

    fn config(version: u64, bytes: usize) -> Outbound {
        let (device, payload, cause) = (DeviceNum(1), vec![0; bytes].into(), Cause::Api { caller: "test".into() });
        let config = ConfigVersion { device, version, time_ms: 0, payload, cause, acknowledged_ms: None };
        Outbound::Config(Arc::new(config))
    }

    fn call(rid: u64, expires: Instant) -> Outbound {
        OutboundCall { rid, name: "dim".into(), payload: Bytes::new(), expires }.into()
    }

    #[tokio::test]
    async fn what_was_not_settled_comes_first_again_and_what_has_expired_not_at_all() {
        let mailbox = mailbox();
        for num in 1..=4 {
            assert!(mailbox.deliver(command(num, 1, None)));
        }
        let taken = [mailbox.next_command().await, mailbox.next_command().await, mailbox.next_command().await];
        let [first, second, third] = taken;
        let expired = WaitingCommand { command: command(2, 1, Some(Instant::now())), ..second };
        mailbox.return_commands(vec![third, expired, WaitingCommand { abandoned: 1, ..first }]);
        let mut again = Vec::new();
        for _ in 0..3 {
            let waiting = mailbox.next_command().await;
            again.push((number(&waiting.command), waiting.abandoned));
        }
        assert_eq!(again, [(1, 1), (3, 0), (4, 0)]);
        assert_eq!(mailbox.queues.lock().bytes, 0);
    }

    #[test]
    fn a_device_that_takes_nothing_fills_its_queue_and_no_more() {
        let mailbox = mailbox();
        let half = SESSION_QUEUE_BYTES / 2;
        assert!(mailbox.queue(command(1, half, None)));
        assert!(!mailbox.queue(command(2, half, None)), "too many bytes");
        let (soon, past) = (Instant::now() + Duration::from_secs(60), Instant::now());
        let taken = (0..2 * METHODS_IN_FLIGHT as u64).filter(|rid| mailbox.queue(call(*rid, soon))).count();
        assert_eq!(taken, METHODS_IN_FLIGHT);
        mailbox.queues.lock().calls.iter_mut().for_each(|waiting| *waiting = call(0, past));
        assert!(mailbox.queue(call(1, soon)), "nobody waits for the calls before");
        assert_eq!(mailbox.queues.lock().calls.len(), 1);
        assert!(mailbox.queue(config(1, SESSION_QUEUE_BYTES)));
        mailbox.close();
        assert!(!mailbox.queue(config(2, 0)));
    }
}
