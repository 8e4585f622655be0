//! A client that sends and receives the messages of a scene, and prints both.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    device::{DeviceEvent, DeviceReport},
    host_location::HostLocation,
    printer::Printer,
};

/// Messages that may wait for the scene; the connection waits when the channel is full.
const QUEUE: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a connection or a subscription may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A message that a client received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

/// The credentials of a client.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// What the connection has received.
enum Received {
    Connected,
    Subscribed,
    Message(Message),
}

/// A device or a phone in a scene. Dropping it ends its connection.
pub(super) struct ScriptedClient {
    id: String,
    client: AsyncClient,
    received: mpsc::Receiver<Received>,
    reader: JoinHandle<()>,
}

impl Drop for ScriptedClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl ScriptedClient {
    /// Connects and subscribes to these topics. The error is a text for users.
    pub(super) async fn connect(
        location: &HostLocation,
        printer: &mut Printer,
        id: &str,
        filters: &[&str],
    ) -> Result<Self, String> {
        Self::connect_as(location, printer, id, None, filters).await
    }

    /// As [`Self::connect`], with a user name and a password.
    pub(super) async fn connect_as(
        location: &HostLocation,
        printer: &mut Printer,
        id: &str,
        login: Option<Login>,
        filters: &[&str],
    ) -> Result<Self, String> {
        let mut options = MqttOptions::new(id, location.mqtt.ip().to_string(), location.mqtt.port());
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        if let Some(Login { user, password }) = login {
            options.set_credentials(user, password);
        }
        let (client, mut connection) = AsyncClient::new(options, QUEUE);
        connection.network_options.set_tcp_nodelay(true);
        let (received_tx, received) = mpsc::channel(QUEUE);
        let reader = tokio::spawn(async move {
            while let Ok(event) = connection.poll().await {
                let one = match event {
                    Event::Incoming(Packet::ConnAck(_)) => Received::Connected,
                    Event::Incoming(Packet::SubAck(_)) => Received::Subscribed,
                    Event::Incoming(Packet::Publish(publish)) => {
                        Received::Message(Message { topic: publish.topic, payload: publish.payload })
                    }
                    _ => continue,
                };
                if received_tx.send(one).await.is_err() {
                    return;
                }
            }
        });
        let mut this = Self { id: id.to_owned(), client, received, reader };
        this.expect("connect", |one| matches!(one, Received::Connected)).await?;
        this.show(printer, DeviceEvent::Connected);
        for filter in filters {
            this.client.try_subscribe(*filter, QoS::AtLeastOnce).map_err(|e| format!("{id} cannot subscribe: {e}"))?;
            this.expect("subscribe", |one| matches!(one, Received::Subscribed)).await?;
            this.show(printer, DeviceEvent::Subscribed { topic: (*filter).to_owned() });
        }
        Ok(this)
    }

    fn show(&self, printer: &mut Printer, what: DeviceEvent) {
        printer.show(&DeviceReport { device: self.id.clone(), what });
    }

    async fn expect(&mut self, what: &str, is: impl Fn(&Received) -> bool) -> Result<(), String> {
        match timeout(TIMEOUT, self.received.recv()).await {
            Ok(Some(one)) if is(&one) => Ok(()),
            _ => Err(format!("{} cannot {what}", self.id)),
        }
    }

    /// Publishes with QoS 1.
    pub(super) fn publish(&self, printer: &mut Printer, topic: &str, payload: &str) -> Result<(), String> {
        let sent = self.client.try_publish(topic, QoS::AtLeastOnce, false, payload.as_bytes().to_vec());
        sent.map_err(|e| format!("{} cannot publish: {e}", self.id))?;
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        self.show(printer, DeviceEvent::Sent { topic: topic.to_owned(), payload });
        Ok(())
    }

    /// The next message. Returns an error if none comes.
    pub(super) async fn receive(&mut self, printer: &mut Printer, limit: Duration) -> Result<Message, String> {
        let next = async {
            loop {
                match self.received.recv().await? {
                    Received::Message(message) => return Some(message),
                    Received::Connected | Received::Subscribed => {}
                }
            }
        };
        let message = timeout(limit, next).await.ok().flatten();
        let message = message.ok_or_else(|| format!("{} receives nothing for {limit:.0?}", self.id))?;
        let Message { topic, payload } = message.clone();
        self.show(printer, DeviceEvent::Received { topic, payload });
        Ok(message)
    }
}
