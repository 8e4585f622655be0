//! A device that exists only here, speaking MQTT 3.1.1 through rumqttc as any device would. Reports what it does to the task that
//! listens; prints nothing itself.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS,
    SubscribeFilter, SubscribeReasonCode,
};
use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until},
};

use super::pace::{Backoff, Pace};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Messages that may wait for the connection; what comes after is dropped and said so.
const QUEUE: usize = 64;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// A hop device gives an old config so long to arrive before it starts at 0.
const OLD_CONFIG: Duration = Duration::from_millis(300);
/// A hop device that receives nothing for so long starts again; doubles each time.
const SILENCE_FIRST: Duration = Duration::from_secs(5);
const SILENCE_LONGEST: Duration = Duration::from_secs(60);

/// What a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Starts with hops 0 and publishes every config that it gets
    Hop,
    /// Says awake and asleep by turns
    Switch,
    /// Is what its config says, takes commands, and answers every method call with 200 and what it was called with
    Lamp,
}

/// What a virtual device is told while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Publish this as telemetry.
    Say(Bytes),
    /// Disconnect and end.
    Leave,
}

/// One device.
#[derive(Debug)]
pub(super) struct VirtualDevice {
    /// Also its client id: the device's id alone, in the default registry.
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) host: String,
    pub(super) port: u16,
    /// At most so many messages a second; none = as fast as it is answered.
    pub(super) rate: Option<f64>,
    /// A switch speaks so often by itself; none = only on order.
    pub(super) every: Option<Duration>,
    /// Without it nobody gives orders. Closing it gives no order either.
    pub(super) orders: Option<mpsc::Receiver<Order>>,
}

/// Something that happened at a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) device: String,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Connected,
    Subscribed {
        topic: String,
    },
    /// The host refuses the subscription.
    Refused {
        topic: String,
    },
    Sent {
        topic: String,
        payload: Bytes,
    },
    Received {
        topic: String,
        payload: Bytes,
    },
    /// The rate allows the next message only after this time.
    Paused {
        wait: Duration,
    },
    /// No answer for so long: the device starts again.
    Silence {
        waited: Duration,
    },
    /// Not sent, because too much waits already.
    Dropped {
        topic: String,
    },
    /// The connection is gone or was not made; the device tries again after this time.
    Offline {
        reason: String,
        retry: Duration,
    },
    /// It was told to leave and has left.
    Left,
}

/// Runs until it is told to leave, or until nobody listens to `events` any more.
pub(super) async fn run(mut device: VirtualDevice, events: mpsc::Sender<Seen>) {
    let mut options = MqttOptions::new(&device.id, &device.host, device.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
    let (client, mut connection) = AsyncClient::new(options, QUEUE);
    connection.network_options.set_tcp_nodelay(true);
    let mut orders = device.orders.take();
    let mut actor = Actor::new(device, client, events);
    let mut retry = None;
    loop {
        // The poll is finished once begun: rumqttc does not say that it may be dropped half-way.
        let poll = poll_after(retry.take(), &mut connection);
        tokio::pin!(poll);
        let polled = loop {
            tokio::select! {
                polled = &mut poll => break polled,
                order = next_order(&mut orders) => match order {
                    Some(Order::Say(payload)) => actor.say(payload).await,
                    Some(Order::Leave) if actor.leave().await => return,
                    Some(Order::Leave) => {}
                    None => orders = None,
                },
                () = at(actor.due) => actor.act().await,
                () = actor.events.closed() => return,
            }
        };
        match polled {
            Ok(Event::Incoming(packet)) => actor.incoming(packet).await,
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return actor.tell(What::Left).await,
            Ok(Event::Outgoing(_)) => {}
            Err(_) if actor.leaving => return actor.tell(What::Left).await,
            Err(error) => retry = Some(actor.offline(&error).await),
        }
    }
}

async fn poll_after(wait: Option<Duration>, connection: &mut EventLoop) -> Result<Event, ConnectionError> {
    if let Some(wait) = wait {
        sleep(wait).await;
    }
    connection.poll().await
}

async fn next_order(orders: &mut Option<mpsc::Receiver<Order>>) -> Option<Order> {
    match orders {
        Some(orders) => orders.recv().await,
        None => pending().await,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

/// What the device is about to do.
struct Actor {
    device: VirtualDevice,
    client: AsyncClient,
    events: mpsc::Sender<Seen>,
    pace: Pace,
    retries: Backoff,
    silences: Backoff,
    online: bool,
    leaving: bool,
    /// When it acts next without being asked.
    due: Option<Instant>,
    /// What it sends then; without it a hop device starts at 0, and a switch says the next state.
    waiting: Option<Bytes>,
    /// What a hop device was last answered at, or when it asked.
    heard: Instant,
    awake: bool,
}

impl Actor {
    fn new(device: VirtualDevice, client: AsyncClient, events: mpsc::Sender<Seen>) -> Self {
        let now = Instant::now();
        Self {
            pace: Pace::new(device.rate, now),
            device,
            client,
            events,
            retries: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            silences: Backoff::new(SILENCE_FIRST, SILENCE_LONGEST),
            online: false,
            leaving: false,
            due: None,
            waiting: None,
            heard: now,
            awake: false,
        }
    }

    async fn tell(&self, what: What) {
        // Nobody listens any more: `run` sees that for itself.
        let _ = self.events.send(Seen { device: self.device.id.clone(), what }).await;
    }

    fn topic(&self, kind: &str) -> String {
        format!("/devices/{}/{kind}", self.device.id)
    }

    async fn incoming(&mut self, packet: Packet) {
        match packet {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => self.connected().await,
            Packet::SubAck(answer) => self.subscribed(&answer.return_codes).await,
            Packet::Publish(publish) => self.received(publish.topic, publish.payload).await,
            _ => {}
        }
    }

    async fn connected(&mut self) {
        self.online = true;
        self.retries.worked();
        self.tell(What::Connected).await;
        match self.device.kind {
            Kind::Hop => self.subscribe(&["config"]).await,
            Kind::Lamp => self.subscribe(&["config", "commands/#", "methods/#"]).await,
            Kind::Switch => self.due = self.device.every.map(|_| Instant::now()),
        }
    }

    async fn subscribe(&mut self, kinds: &[&str]) {
        let filter = |kind: &&str| SubscribeFilter::new(self.topic(kind), QoS::AtLeastOnce);
        let filters: Vec<_> = kinds.iter().map(filter).collect();
        if self.client.try_subscribe_many(filters).is_err() {
            self.tell(What::Dropped { topic: self.topic("config") }).await;
        }
    }

    async fn subscribed(&mut self, codes: &[SubscribeReasonCode]) {
        let topic = self.topic("config");
        if codes.contains(&SubscribeReasonCode::Failure) {
            return self.tell(What::Refused { topic }).await;
        }
        self.tell(What::Subscribed { topic }).await;
        if self.device.kind == Kind::Hop && self.due.is_none() {
            self.heard = Instant::now();
            self.due = Some(self.heard + OLD_CONFIG);
        }
    }

    async fn received(&mut self, topic: String, payload: Bytes) {
        self.tell(What::Received { topic: topic.clone(), payload: payload.clone() }).await;
        if let Some(call) = topic.strip_prefix(&self.topic("methods/")) {
            return self.answer_call(call, payload).await;
        }
        if self.device.kind == Kind::Hop && !payload.is_empty() {
            self.silences.worked();
            self.answer(payload).await;
        }
    }

    /// `call`: the method's name, `request`, and the call's id.
    async fn answer_call(&mut self, call: &str, payload: Bytes) {
        let Some((method, id)) = call.split_once("/request/") else { return };
        let topic = self.topic(&format!("methods/{method}/response/{id}/200"));
        let what = match self.client.try_publish(&topic, QoS::AtLeastOnce, false, payload.clone()) {
            Ok(()) => What::Sent { topic, payload },
            Err(_) => What::Dropped { topic },
        };
        self.tell(what).await;
    }

    /// Publishes what came, as soon as the rate allows; only the newest counts.
    async fn answer(&mut self, payload: Bytes) {
        let now = Instant::now();
        let ready = self.pace.ready(now);
        if ready > now {
            self.waiting = Some(payload);
            self.due = Some(ready);
            self.tell(What::Paused { wait: ready - now }).await;
        } else {
            self.say(payload).await;
        }
    }

    /// Publishes telemetry now.
    async fn say(&mut self, payload: Bytes) {
        let topic = self.topic("events");
        let now = Instant::now();
        if self.client.try_publish(&topic, QoS::AtLeastOnce, false, payload.clone()).is_err() {
            return self.tell(What::Dropped { topic }).await;
        }
        self.pace.sent(now);
        self.heard = now;
        self.tell(What::Sent { topic, payload }).await;
        self.due = match self.device.kind {
            Kind::Hop => Some(now + self.silences.failed(fastrand::f64())),
            Kind::Switch => self.device.every.map(|every| self.pace.ready(now + every)),
            Kind::Lamp => None,
        };
    }

    /// The time has come that was set.
    async fn act(&mut self) {
        self.due = None;
        if let Some(payload) = self.waiting.take() {
            return self.say(payload).await;
        }
        match self.device.kind {
            Kind::Hop => self.start_again().await,
            Kind::Switch => {
                self.awake = !self.awake;
                let state = if self.awake { r#"{"state":"awake"}"# } else { r#"{"state":"asleep"}"# };
                self.say(Bytes::from_static(state.as_bytes())).await;
            }
            Kind::Lamp => {}
        }
    }

    async fn start_again(&mut self) {
        let waited = self.heard.elapsed();
        if waited >= SILENCE_FIRST / 2 {
            self.tell(What::Silence { waited }).await;
        }
        let id = &self.device.id;
        let record = format!(r#"{{"deviceId":"{id}","registryId":"default","cloudRegion":"local","hops":0}}"#);
        self.say(record.into()).await;
    }

    async fn offline(&mut self, error: &ConnectionError) -> Duration {
        self.online = false;
        self.due = None;
        self.waiting = None;
        let retry = self.retries.failed(fastrand::f64());
        self.tell(What::Offline { reason: reason(error), retry }).await;
        retry
    }

    /// True when it has left already, because it was not connected.
    async fn leave(&mut self) -> bool {
        self.leaving = true;
        self.due = None;
        if self.online && self.client.try_disconnect().is_ok() {
            return false;
        }
        self.tell(What::Left).await;
        true
    }
}

/// What a person understands of rumqttc's errors.
fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the host refuses the connection: {code:?}"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the host does not answer".to_owned(),
        ConnectionError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "nobody listens there".to_owned()
        }
        other => other.to_string(),
    }
}
