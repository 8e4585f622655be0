//! Publishes what a client left behind for the case that it is lost. Never talks to the client itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Shared,
    hub::Hub,
    packet::{Fault, Will, reason},
};
use crate::{
    auth::{self, Access, Action, Principal, Standing},
    dialect::iot_core::{self, Publish},
    fairness::Lane,
    ingest::NewEvent,
    model::{
        EventData, Message, MessageProperties, Property, QoS,
        broker::{StoredMessage, StoredWill},
        limits,
    },
    registry::Device,
};

/// Checks at CONNECT whether the client may publish it.
pub(super) fn check(device: Option<&Device>, access: &Access, will: &Will) -> Result<(), Fault> {
    match iot_core::publish(device.map(|device| &device.name.id), &will.topic) {
        Publish::Ordinary => auth::may(access, Action::Publish, &will.topic)
            .map_err(|denied| Fault::new(reason::NOT_AUTHORISED, format!("the will's topic: {denied}"))),
        Publish::Refused(refused) => Err(Fault::new(reason::NOT_AUTHORISED, format!("the will's topic: {refused}"))),
        Publish::Answer { .. } => Err(Fault::new(reason::NOT_AUTHORISED, "a will cannot answer a method call")),
        Publish::Control(_) => Err(Fault::new(reason::NOT_AUTHORISED, "a will cannot attach or detach a device")),
        Publish::State if will.payload.len() > limits::STATE_BYTES => {
            Err(Fault::new(reason::QUOTA, "the will is larger than a state may be"))
        }
        _ => Ok(()),
    }
}

/// Publishes what is telemetry or state of the device itself, without waiting. Gives back what is none, or finds no room in
/// the journal now: that is for [`publish`].
pub(super) fn publish_now<H: Hub>(hub: &H, standing: &Standing, will: Box<Will>) -> Option<Box<Will>> {
    let Principal::Device(device) = &standing.principal else { return Some(will) };
    let Some(data) = event(device, &will).filter(|_| hub.still_holds(standing).is_ok()) else { return Some(will) };
    let Some(room) = hub.try_reserve(will.payload.len(), Lane::Background) else { return Some(will) };
    tracing::debug!(device = %device.name, topic = %will.topic, "publishing the will");
    let durable = will.qos != QoS::AtMostOnce;
    hub.submit(device, vec![NewEvent { durable, data }], room, Box::new(|_| ()));
    None
}

/// Publishes it, as telemetry or state where its topic says so.
pub(super) async fn publish<H: Hub>(shared: Arc<Shared<H>>, standing: Standing, client: Arc<str>, will: Box<Will>) {
    // A delayed will may come after its client was shut out.
    if let Err(why) = shared.hub.still_holds(&standing) {
        tracing::info!(client = %client, topic = %will.topic, "the will is not published: {why}");
        return;
    }
    tracing::debug!(client = %client, topic = %will.topic, "publishing the will");
    let device = standing.principal.device();
    let Some((device, data)) = device.and_then(|device| event(device, &will).map(|data| (device, data))) else {
        publish_message(&shared, &client, message(*will)).await;
        return;
    };
    let durable = will.qos != QoS::AtMostOnce;
    match shared.hub.reserve(will.payload.len(), Lane::Background).await {
        Ok(room) => shared.hub.submit(device, vec![NewEvent { durable, data }], room, Box::new(|_| ())),
        Err(error) => tracing::warn!(client = %client, %error, "the will was lost"),
    }
}

async fn publish_message<H: Hub>(shared: &Shared<H>, client: &str, message: Message) {
    let event = shared.hub.topic_event(&message);
    let bytes = message.size();
    shared.topics.publish(Arc::new(message), None).await;
    let Some(event) = event else { return };
    match shared.hub.reserve(bytes, Lane::Background).await {
        Ok(room) => shared.hub.submit_topic(event, Vec::new(), Some(room), Box::new(|_| ())),
        Err(error) => tracing::warn!(client, %error, "no plugin will see the will"),
    }
}

fn event(device: &Device, will: &Will) -> Option<EventData> {
    match iot_core::publish(Some(&device.name.id), &will.topic) {
        Publish::Event { subfolder } => Some(EventData::Telemetry {
            subfolder: subfolder.to_owned(),
            payload: will.payload.clone(),
            properties: user_properties(will.properties.clone()),
        }),
        Publish::State => Some(EventData::State { version: 0, payload: will.payload.clone() }),
        _ => None,
    }
}

impl Will {
    /// As it is written down.
    pub(super) fn stored(&self) -> StoredWill {
        let Self { topic, payload, qos, retain, delay, expiry, properties } = self.clone();
        let secs = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let message = StoredMessage { topic, payload, qos, retain, expires_ms: None, properties };
        StoredWill { message, delay_secs: secs(delay), expiry_secs: expiry.map(secs) }
    }

    pub(super) fn restored(stored: StoredWill) -> Self {
        let StoredMessage { topic, payload, qos, retain, properties, .. } = stored.message;
        let delay = Duration::from_secs(stored.delay_secs.into());
        let expiry = stored.expiry_secs.map(|secs| Duration::from_secs(secs.into()));
        Self { topic, payload, qos, retain, delay, expiry, properties }
    }
}

pub(super) fn user_properties(properties: Option<Box<MessageProperties>>) -> Vec<Property> {
    properties.map(|properties| properties.user).unwrap_or_default()
}

fn message(will: Will) -> Message {
    Message {
        topic: will.topic,
        payload: will.payload,
        qos: will.qos,
        retain: will.retain,
        expires: will.expiry.map(|expiry| Instant::now() + expiry),
        properties: will.properties,
    }
}
