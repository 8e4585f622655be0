//! A client that does what a scene of the demo tells it, and tells the printer what it sent and heard. Decides nothing.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    demo::Place,
    printer::Printer,
    virtual_device::{Seen, What},
};

/// Messages that may wait for the scene; the connection waits when they do.
const QUEUE: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a connection or a subscription may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Something that a puppet heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

enum News {
    Connected,
    Subscribed,
    Message(Heard),
}

/// A device or a phone on the stage. Dropping it takes it off.
pub(super) struct Puppet {
    id: String,
    client: AsyncClient,
    news: mpsc::Receiver<News>,
    reader: JoinHandle<()>,
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Puppet {
    /// Connects and listens to these topics. The error is for a person.
    pub(super) async fn enter(
        place: &Place,
        printer: &mut Printer,
        id: &str,
        filters: &[&str],
    ) -> Result<Self, String> {
        let mut options = MqttOptions::new(id, place.mqtt.ip().to_string(), place.mqtt.port());
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
        let (client, mut connection) = AsyncClient::new(options, QUEUE);
        connection.network_options.set_tcp_nodelay(true);
        let (tell, news) = mpsc::channel(QUEUE);
        let reader = tokio::spawn(async move {
            while let Ok(event) = connection.poll().await {
                let news = match event {
                    Event::Incoming(Packet::ConnAck(_)) => News::Connected,
                    Event::Incoming(Packet::SubAck(_)) => News::Subscribed,
                    Event::Incoming(Packet::Publish(publish)) => {
                        News::Message(Heard { topic: publish.topic, payload: publish.payload })
                    }
                    _ => continue,
                };
                if tell.send(news).await.is_err() {
                    return;
                }
            }
        });
        let mut puppet = Self { id: id.to_owned(), client, news, reader };
        puppet.expect("connect", |news| matches!(news, News::Connected)).await?;
        puppet.tell(printer, What::Connected);
        for filter in filters {
            puppet
                .client
                .try_subscribe(*filter, QoS::AtLeastOnce)
                .map_err(|e| format!("{id} cannot subscribe: {e}"))?;
            puppet.expect("subscribe", |news| matches!(news, News::Subscribed)).await?;
            puppet.tell(printer, What::Subscribed { topic: (*filter).to_owned() });
        }
        Ok(puppet)
    }

    fn tell(&self, printer: &mut Printer, what: What) {
        printer.show(&Seen { device: self.id.clone(), what });
    }

    async fn expect(&mut self, what: &str, is: impl Fn(&News) -> bool) -> Result<(), String> {
        match timeout(TIMEOUT, self.news.recv()).await {
            Ok(Some(news)) if is(&news) => Ok(()),
            _ => Err(format!("{} cannot {what}", self.id)),
        }
    }

    /// Publishes with QoS 1.
    pub(super) fn say(&self, printer: &mut Printer, topic: &str, payload: &str) -> Result<(), String> {
        let sent = self.client.try_publish(topic, QoS::AtLeastOnce, false, payload.as_bytes().to_vec());
        sent.map_err(|e| format!("{} cannot publish: {e}", self.id))?;
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        self.tell(printer, What::Sent { topic: topic.to_owned(), payload });
        Ok(())
    }

    /// The next message; the error says that none came.
    pub(super) async fn receives(&mut self, printer: &mut Printer, limit: Duration) -> Result<Heard, String> {
        let next = async {
            loop {
                match self.news.recv().await? {
                    News::Message(heard) => return Some(heard),
                    News::Connected | News::Subscribed => {}
                }
            }
        };
        let heard = timeout(limit, next).await.ok().flatten();
        let heard = heard.ok_or_else(|| format!("{} receives nothing for {limit:.0?}", self.id))?;
        let Heard { topic, payload } = heard.clone();
        self.tell(printer, What::Received { topic, payload });
        Ok(heard)
    }
}
