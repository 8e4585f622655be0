//! A device on rumqttc. It records which publishes were acknowledged and what it received.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rumqttc::{Client, Connection, Event, LastWill, MqttOptions, Outgoing, Packet, QoS, SubscribeReasonCode};

use crate::LIMIT;

/// How a device connects.
#[derive(Debug, Clone)]
pub struct Session {
    pub client_id: String,
    pub clean: bool,
    /// Whether it sends PUBACKs.
    pub acknowledges: bool,
    pub will: Option<LastWill>,
    /// A token or a password.
    pub secret: Option<String>,
    /// The user name. Programs need one, devices do not.
    pub user: String,
}

impl Session {
    /// A session with a token or a password.
    #[must_use]
    pub fn with_secret(client_id: &str, secret: &str) -> Self {
        Self { secret: Some(secret.to_owned()), ..Self::new(client_id) }
    }

    /// A session of a program with a service account.
    #[must_use]
    pub fn of_service(account: &str, client_id: &str, secret: &str) -> Self {
        Self { user: format!("serviceAccounts/{account}"), ..Self::with_secret(client_id, secret) }
    }

    /// A clean session that acknowledges.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            clean: true,
            acknowledges: true,
            will: None,
            secret: None,
            user: "unused".to_owned(),
        }
    }
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
    pub dup: bool,
    /// 0 for QoS 0.
    pub packet_id: u16,
}

impl Message {
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// What a device has received so far.
#[derive(Debug, Default)]
pub struct Seen {
    pub connected: bool,
    /// In the order in which they came.
    pub messages: Vec<Message>,
    /// The publishes that were acknowledged, in the order of the acknowledgements.
    pub acknowledged: Vec<u64>,
    /// One for each filter, in order.
    pub subscribed: Vec<bool>,
    /// Why the connection ended.
    pub ended: Option<String>,
    queued: VecDeque<u64>,
    in_flight: HashMap<u16, u64>,
}

#[derive(Debug, Default)]
struct DeviceState {
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// A device with one connection; it never reconnects. Dropping it disconnects.
pub struct Device {
    pub id: String,
    client: Client,
    shared: Arc<DeviceState>,
    reader: Option<JoinHandle<()>>,
    published: u64,
    subscribed: usize,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Device").field(&self.id).finish()
    }
}

impl Device {
    /// Connects and waits for the CONNACK.
    ///
    /// # Panics
    ///
    /// Panics if the host refuses the connection.
    #[must_use]
    pub fn connect(host: SocketAddr, session: Session) -> Self {
        let device = Self::begin(host, session);
        device.wait("the CONNACK", |seen| seen.connected.then_some(()));
        device
    }

    /// Connects. Returns `None` if the host refuses the connection.
    #[must_use]
    pub fn try_connect(host: SocketAddr, session: Session) -> Option<Self> {
        let device = Self::begin(host, session);
        device.try_wait(LIMIT, |seen| seen.connected.then_some(()))?;
        Some(device)
    }

    /// Connects and is refused; returns how its connection ended.
    ///
    /// # Panics
    ///
    /// Panics if the connection is accepted.
    pub fn refused(host: SocketAddr, session: Session) -> String {
        let device = Self::begin(host, session);
        device.wait("the refusal", |seen| {
            assert!(!seen.connected, "{} was accepted", device.id);
            seen.ended.clone()
        })
    }

    /// Starts to connect, without waiting.
    #[must_use]
    pub fn begin(host: SocketAddr, session: Session) -> Self {
        let mut options = MqttOptions::new(session.client_id.clone(), host.ip().to_string(), host.port());
        options.set_clean_session(session.clean).set_manual_acks(!session.acknowledges);
        options.set_inflight(100).set_max_packet_size(512 * 1024, 512 * 1024).set_keep_alive(Duration::from_secs(60));
        if let Some(secret) = session.secret {
            options.set_credentials(session.user, secret);
        }
        if let Some(will) = session.will {
            options.set_last_will(will);
        }
        let (client, connection) = Client::new(options, 100);
        let shared = Arc::new(DeviceState::default());
        let reader = std::thread::spawn({
            let shared = shared.clone();
            move || read(connection, &shared)
        });
        let id = session.client_id.rsplit('/').next().unwrap_or_default().to_owned();
        Self { id, client, shared, reader: Some(reader), published: 0, subscribed: 0 }
    }

    /// Publishes. The returned number is in [`Seen::acknowledged`] once it is acknowledged. Returns `None` if the connection has
    /// ended.
    pub fn send(&mut self, topic: &str, qos: QoS, payload: impl Into<Vec<u8>>) -> Option<u64> {
        let number = self.published;
        {
            let mut seen = self.seen();
            if seen.ended.is_some() {
                return None;
            }
            seen.queued.push_back(number);
        }
        self.published += 1;
        self.client.publish(topic, qos, false, payload).ok().map(|()| number)
    }

    /// Publishes with QoS 1 and waits for the PUBACK.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    pub fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        let number = self.send(topic, QoS::AtLeastOnce, payload).expect("the connection has ended");
        self.wait("a PUBACK", |seen| seen.acknowledged.contains(&number).then_some(()));
    }

    /// Publishes telemetry with QoS 1 and waits for the PUBACK.
    pub fn event(&mut self, payload: impl Into<Vec<u8>>) {
        let topic = crate::events(&self.id);
        self.publish(&topic, payload);
    }

    /// Subscribes with QoS 1 and waits for the SUBACK. Returns false when it is refused.
    ///
    /// # Panics
    ///
    /// Panics if there is no SUBACK.
    pub fn subscribe(&mut self, filter: &str) -> bool {
        self.client.subscribe(filter, QoS::AtLeastOnce).expect("the connection has ended");
        let index = self.subscribed;
        self.subscribed += 1;
        self.wait("a SUBACK", |seen| seen.subscribed.get(index).copied())
    }

    /// Subscribes to its own config.
    pub fn subscribe_config(&mut self) {
        let topic = crate::config(&self.id);
        assert!(self.subscribe(&topic), "{topic} was refused");
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen.lock().expect("the reader panicked")
    }

    /// Waits until `ask` returns a value. Returns `None` at the limit, or when the connection has ended without one.
    pub fn try_wait<T>(&self, limit: Duration, mut ask: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        let began = Instant::now();
        let mut seen = self.seen();
        loop {
            if let Some(answer) = ask(&seen) {
                return Some(answer);
            }
            let left = limit.checked_sub(began.elapsed())?;
            if seen.ended.is_some() {
                return None;
            }
            seen = self.shared.changed.wait_timeout(seen, left).expect("the reader panicked").0;
        }
    }

    /// Waits until `ask` returns a value.
    ///
    /// # Panics
    ///
    /// Panics if it returns none.
    pub fn wait<T>(&self, what: &str, ask: impl FnMut(&Seen) -> Option<T>) -> T {
        self.try_wait(LIMIT, ask)
            .unwrap_or_else(|| panic!("{} waited in vain for {what}; ended: {:?}", self.id, self.seen().ended))
    }

    /// Waits until its connection has ended; returns the reason.
    pub fn ended(&self) -> String {
        self.wait("its end", |seen| seen.ended.clone())
    }

    /// Waits for a message; returns the first one that matches.
    pub fn message(&self, what: &str, predicate: impl Fn(&Message) -> bool) -> Message {
        self.wait(what, |seen| seen.messages.iter().find(|message| predicate(message)).cloned())
    }

    /// Waits for a message that contains this text.
    pub fn message_with(&self, text: &str) -> Message {
        self.message(text, |message| message.text().contains(text))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.client.try_disconnect();
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

fn read(mut connection: Connection, shared: &DeviceState) {
    let ended = loop {
        match connection.recv() {
            Ok(Ok(event)) => {
                let last = matches!(event, Event::Outgoing(Outgoing::Disconnect));
                record(&mut shared.seen.lock().expect("the test panicked"), event);
                shared.changed.notify_all();
                if last {
                    break "it disconnected".to_owned();
                }
            }
            Ok(Err(error)) => break error.to_string(),
            Err(rumqttc::RecvError) => break "it disconnected".to_owned(),
        }
    };
    shared.seen.lock().expect("the test panicked").ended = Some(ended);
    shared.changed.notify_all();
}

fn record(seen: &mut Seen, event: Event) {
    match event {
        Event::Outgoing(Outgoing::Publish(id)) => {
            let number = seen.queued.pop_front().expect("more was sent than published");
            // QoS 0 has neither a packet identifier nor an acknowledgement.
            if id > 0 {
                seen.in_flight.insert(id, number);
            }
        }
        Event::Incoming(Packet::PubAck(rumqttc::PubAck { pkid }) | Packet::PubComp(rumqttc::PubComp { pkid })) => {
            let number = seen.in_flight.remove(&pkid).expect("an acknowledgement that nothing waits for");
            seen.acknowledged.push(number);
        }
        Event::Incoming(Packet::ConnAck(_)) => seen.connected = true,
        Event::Incoming(Packet::SubAck(ack)) => {
            let success = |code| matches!(code, SubscribeReasonCode::Success(_));
            seen.subscribed.extend(ack.return_codes.into_iter().map(success));
        }
        Event::Incoming(Packet::Publish(publish)) => {
            let rumqttc::Publish { topic, payload, retain, dup, pkid: packet_id, .. } = publish;
            seen.messages.push(Message { topic, payload, retain, dup, packet_id });
        }
        _ => {}
    }
}
