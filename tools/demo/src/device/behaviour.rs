//! The behaviour of a simulated device: what it answers, what it sends and when, and how long it waits before it reconnects. The
//! module above has the loop that polls the connection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Packet, QoS, SubscribeFilter, SubscribeReasonCode};
use tokio::sync::mpsc;

use super::{
    pace::{Backoff, Pace},
    report::{DeviceEvent, DeviceReport},
    virtual_device::{DeviceKind, VirtualDevice},
};

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// How long a hop device waits for an earlier config before it starts at 0.
const OLD_CONFIG: Duration = Duration::from_millis(300);
/// A hop device that receives nothing for this time starts again; the time doubles with each repetition.
const SILENCE_FIRST: Duration = Duration::from_secs(5);
const SILENCE_LONGEST: Duration = Duration::from_secs(60);

/// A device between two polls of its connection.
pub(super) struct Behaviour {
    device: VirtualDevice,
    client: AsyncClient,
    pub(super) events: mpsc::Sender<DeviceReport>,
    pace: Pace,
    retries: Backoff,
    silences: Backoff,
    online: bool,
    pub(super) leaving: bool,
    /// When it acts next by itself.
    pub(super) due: Option<Instant>,
    /// What it sends then. If it is `None`, a hop device starts at 0, and a switch sends its next state.
    waiting: Option<Bytes>,
    /// When a hop device last received an answer or sent a message.
    last_message: Instant,
    awake: bool,
}

impl Behaviour {
    pub(super) fn new(device: VirtualDevice, client: AsyncClient, events: mpsc::Sender<DeviceReport>) -> Self {
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
            last_message: now,
            awake: false,
        }
    }

    pub(super) async fn report(&self, what: DeviceEvent) {
        // An error means that the receiver is gone, which `run` notices.
        let _ = self.events.send(DeviceReport { device: self.device.id.clone(), what }).await;
    }

    fn topic(&self, kind: &str) -> String {
        format!("/devices/{}/{kind}", self.device.id)
    }

    pub(super) async fn incoming(&mut self, packet: Packet) {
        match packet {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => self.connected().await,
            Packet::SubAck(answer) => self.subscribed(&answer.return_codes).await,
            Packet::Publish(publish) => self.received(publish.topic, publish.payload).await,
            _ => {}
        }
    }

    async fn connected(&mut self) {
        self.online = true;
        self.retries.reset();
        self.report(DeviceEvent::Connected).await;
        match self.device.kind {
            DeviceKind::Hop => self.subscribe(&["config"]).await,
            DeviceKind::Lamp => self.subscribe(&["config", "commands/#", "methods/#"]).await,
            DeviceKind::Switch => self.due = self.device.every.map(|_| Instant::now()),
        }
    }

    async fn subscribe(&mut self, kinds: &[&str]) {
        let filter = |kind: &&str| SubscribeFilter::new(self.topic(kind), QoS::AtLeastOnce);
        let filters: Vec<_> = kinds.iter().map(filter).collect();
        if self.client.try_subscribe_many(filters).is_err() {
            self.report(DeviceEvent::Dropped { topic: self.topic("config") }).await;
        }
    }

    async fn subscribed(&mut self, codes: &[SubscribeReasonCode]) {
        let topic = self.topic("config");
        if codes.contains(&SubscribeReasonCode::Failure) {
            return self.report(DeviceEvent::Refused { topic }).await;
        }
        self.report(DeviceEvent::Subscribed { topic }).await;
        if self.device.kind == DeviceKind::Hop && self.due.is_none() {
            self.last_message = Instant::now();
            self.due = Some(self.last_message + OLD_CONFIG);
        }
    }

    async fn received(&mut self, topic: String, payload: Bytes) {
        self.report(DeviceEvent::Received { topic: topic.clone(), payload: payload.clone() }).await;
        if let Some(call) = topic.strip_prefix(&self.topic("methods/")) {
            return self.answer_call(call, payload).await;
        }
        if self.device.kind == DeviceKind::Hop && !payload.is_empty() {
            self.silences.reset();
            self.answer(payload).await;
        }
    }

    /// `call`: the method's name, `request`, and the call's id.
    async fn answer_call(&mut self, call: &str, payload: Bytes) {
        let Some((method, id)) = call.split_once("/request/") else { return };
        let topic = self.topic(&format!("methods/{method}/response/{id}/200"));
        let what = match self.client.try_publish(&topic, QoS::AtLeastOnce, false, payload.clone()) {
            Ok(()) => DeviceEvent::Sent { topic, payload },
            Err(_) => DeviceEvent::Dropped { topic },
        };
        self.report(what).await;
    }

    /// Publishes the received payload as soon as the rate allows; a newer one replaces it.
    async fn answer(&mut self, payload: Bytes) {
        let now = Instant::now();
        let ready = self.pace.ready(now);
        if ready > now {
            self.waiting = Some(payload);
            self.due = Some(ready);
            self.report(DeviceEvent::Paused { wait: ready - now }).await;
        } else {
            self.publish(payload).await;
        }
    }

    /// Publishes telemetry now.
    pub(super) async fn publish(&mut self, payload: Bytes) {
        let topic = self.topic("events");
        let now = Instant::now();
        if self.client.try_publish(&topic, QoS::AtLeastOnce, false, payload.clone()).is_err() {
            return self.report(DeviceEvent::Dropped { topic }).await;
        }
        self.pace.sent(now);
        self.last_message = now;
        self.report(DeviceEvent::Sent { topic, payload }).await;
        self.due = match self.device.kind {
            DeviceKind::Hop => Some(now + self.silences.failed(fastrand::f64())),
            DeviceKind::Switch => self.device.every.map(|every| self.pace.ready(now + every)),
            DeviceKind::Lamp => None,
        };
    }

    /// Acts when [`Self::due`] is reached.
    pub(super) async fn act_when_due(&mut self) {
        self.due = None;
        if let Some(payload) = self.waiting.take() {
            return self.publish(payload).await;
        }
        match self.device.kind {
            DeviceKind::Hop => self.start_again().await,
            DeviceKind::Switch => {
                self.awake = !self.awake;
                let state = if self.awake { r#"{"state":"awake"}"# } else { r#"{"state":"asleep"}"# };
                self.publish(Bytes::from_static(state.as_bytes())).await;
            }
            DeviceKind::Lamp => {}
        }
    }

    async fn start_again(&mut self) {
        let waited = self.last_message.elapsed();
        if waited >= SILENCE_FIRST / 2 {
            self.report(DeviceEvent::Silence { waited }).await;
        }
        let id = &self.device.id;
        let record = format!(r#"{{"deviceId":"{id}","registryId":"default","cloudRegion":"local","hops":0}}"#);
        self.publish(record.into()).await;
    }

    pub(super) async fn offline(&mut self, error: &ConnectionError) -> Duration {
        self.online = false;
        self.due = None;
        self.waiting = None;
        let retry = self.retries.failed(fastrand::f64());
        self.report(DeviceEvent::Offline { reason: reason(error), retry }).await;
        retry
    }

    /// Returns true if the device has ended, because it was not connected.
    pub(super) async fn disconnect(&mut self) -> bool {
        self.leaving = true;
        self.due = None;
        if self.online && self.client.try_disconnect().is_ok() {
            return false;
        }
        self.report(DeviceEvent::Left).await;
        true
    }
}

/// rumqttc's error as text for users.
fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the host refuses the connection: {code:?}"),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => "the host does not answer".to_owned(),
        ConnectionError::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "the connection is refused".to_owned()
        }
        other => other.to_string(),
    }
}
