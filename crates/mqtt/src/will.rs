//! Checks a will at CONNECT, stores it and publishes it. Whether and when it is due is decided by `end.rs`, `presence.rs`
//! and `clients/session_end.rs`.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{
    clients::{DueWill, RemainingWork},
    server_context::ServerContext,
    session_key,
};
use crate::dialect::{Dialect, Publish, iot_core};
use switchbox_auth as auth;
use switchbox_auth::{Access, Action, AuthContext};
use switchbox_core::{ingest::NewEvent, registry::Device};
use switchbox_model::{
    EventData, Message, MessageProperties, PayloadLimit, PayloadLimits, Property, QoS,
    broker::{StoredExpiry, StoredMessage, StoredWill},
    event::about,
};
use switchbox_mqtt_codec::{
    fault::{Fault, reason},
    packet::Will,
};
use switchbox_mqtt_session::topics::{PendingChanges, Publisher, WaitBudget};
use switchbox_pubsub::{entry_of, now};
use switchbox_store::OnCommit;
use switchbox_support::{clock, metrics::Metrics};

/// Checks at CONNECT whether the client may publish the will. Counts a payload that is over the limit.
pub(super) fn check(
    metrics: &Metrics,
    device: Option<&Device>,
    access: &Access,
    payloads: &PayloadLimits,
    will: &Will,
) -> Result<(), Fault> {
    let check_size = |PayloadLimit { bytes, limit, text, .. }| {
        if will.payload.len() <= bytes {
            return Ok(());
        }
        metrics.limit(limit);
        Err(Fault::new(reason::QUOTA, format!("the will: {text}")))
    };
    match iot_core::publish(device.map(|device| &device.name.id), &will.topic) {
        Publish::Ordinary => auth::may(access, Action::Publish, &will.topic)
            .map_err(|denied| Fault::new(reason::NOT_AUTHORISED, format!("the will's topic: {denied}")))
            .and_then(|()| check_size(payloads.message())),
        Publish::Refused(refused) => Err(Fault::new(reason::NOT_AUTHORISED, format!("the will's topic: {refused}"))),
        Publish::Answer { .. } => Err(Fault::new(reason::NOT_AUTHORISED, "a will cannot answer a method call")),
        Publish::Control(_) => Err(Fault::new(reason::NOT_AUTHORISED, "a will cannot attach or detach a device")),
        Publish::GetTwin { .. }
        | Publish::StatePatch { .. }
        | Publish::Register { .. }
        | Publish::RegistrationStatus { .. } => {
            Err(Fault::new(reason::NOT_AUTHORISED, "a will cannot ask for anything"))
        }
        Publish::State => check_size(payloads.state()),
        Publish::Event { .. } => check_size(payloads.telemetry()),
    }
}

/// Translates the will of a client of any dialect into the form that is kept.
pub(super) fn translate(dialect: Dialect, device: Option<&Device>, will: &mut Will) -> Result<(), Fault> {
    let Some(kept) = device.and_then(|device| dialect.will(&device.name.id, &will.topic)) else { return Ok(()) };
    let refused = |refused| Fault::new(reason::NOT_AUTHORISED, format!("the will's topic: {refused}"));
    let (topic, properties) = kept.map_err(refused)?;
    will.topic = topic.into();
    will.retain = false;
    will.properties.get_or_insert_default().user.extend(properties);
    Ok(())
}

/// Publishes the will, as telemetry or state if its topic is one of a device. The same journal entry contains `pending`, which
/// removes the will from the store. It waits for no permit of the journal's queue, because a connection has only one small will.
/// Returns the deliveries to subscribers whose queues are full.
pub(super) fn publish(
    shared: &ServerContext,
    auth_context: &AuthContext,
    client: &str,
    will: Will,
    mut pending: PendingChanges,
) -> Option<RemainingWork> {
    let topics = &shared.topics;
    // The client may have been blocked during the will's delay.
    if let Err(why) = shared.host.auth.still_holds(auth_context) {
        tracing::info!(client, topic = %will.topic, "the will is not published: {why}");
        topics.write_with(None, pending, OnCommit::Nothing);
        return None;
    }
    tracing::debug!(client, topic = %will.topic, "publishing the will");
    let device = auth_context.principal.device();
    if let Some((device, data)) = device.and_then(|device| event(device, &will).map(|data| (device, data))) {
        let event = NewEvent::new(will.qos != QoS::AtMostOnce, data);
        let (changes, on_commit) = entry_of(pending, OnCommit::Nothing);
        shared.host.ingest.submit_with(device, event, changes, on_commit);
        return None;
    }
    let message = Arc::new(message(will));
    let event = shared.host.ingest.topic_event(&message);
    let publisher = Publisher::of(session_key::of_retained(auth_context));
    let waiting = topics.deliver(&message, &publisher, &mut pending, now()).unwrap_or_default();
    match event {
        None => {
            topics.write_with(None, pending, OnCommit::Nothing);
        }
        Some(event) => {
            let (changes, on_commit) = entry_of(pending, OnCommit::Nothing);
            // This fails only when the journal is closed: the host stops.
            let _ = shared.host.ingest.submit_topic(event, changes, None, on_commit);
        }
    }
    if waiting.is_empty() {
        return None;
    }
    let topics = topics.clone();
    Some(Box::pin(async move {
        let (mut pending, mut budget) = (PendingChanges::default(), WaitBudget::default());
        topics.wait(&message, waiting, &mut pending, &mut budget, std::future::pending()).await;
        topics.write_with(None, pending, OnCommit::Nothing);
    }))
}

/// A function that publishes the will, to be called when its delay, which may be zero, has passed.
pub(super) fn due(shared: Arc<ServerContext>, auth_context: AuthContext, client: Arc<str>, will: Box<Will>) -> DueWill {
    Box::new(move |pending| publish(&shared, &auth_context, &client, *will, pending))
}

/// Whether the will is telemetry or state of the device itself.
pub(super) fn is_event(auth_context: &AuthContext, will: &Will) -> bool {
    auth_context.principal.device().is_some_and(|device| event(device, will).is_some())
}

fn event(device: &Device, will: &Will) -> Option<EventData> {
    match iot_core::publish(Some(&device.name.id), &will.topic) {
        Publish::Event { subfolder, .. } => Some(EventData::Telemetry {
            subfolder: subfolder.to_owned(),
            payload: will.payload.clone(),
            properties: properties(will.properties.clone()),
        }),
        Publish::State => Some(EventData::State { version: 0, payload: will.payload.clone() }),
        _ => None,
    }
}

/// The stored form of a will.
pub(super) fn stored(will: &Will) -> StoredWill {
    let Will { topic, payload, qos, retain, delay, expiry, properties } = will.clone();
    let secs = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let message = StoredMessage { topic, payload, qos, retain, expiry: StoredExpiry::Never, properties };
    StoredWill { message, delay_secs: secs(delay), expiry_secs: expiry.map(secs) }
}

/// The will of a stored form.
pub(super) fn restored(stored: StoredWill) -> Will {
    let StoredMessage { topic, payload, qos, retain, properties, .. } = stored.message;
    let delay = Duration::from_secs(stored.delay_secs.into());
    let expiry = stored.expiry_secs.map(|secs| Duration::from_secs(secs.into()));
    Will { topic, payload, qos, retain, delay, expiry, properties }
}

/// The properties of an event: the user properties, and those of the message such as its content type.
pub(super) fn properties(properties: Option<Box<MessageProperties>>) -> Vec<Property> {
    let Some(properties) = properties else { return Vec::new() };
    let MessageProperties { mut user, content_type, correlation, .. } = *properties;
    user.extend(content_type.map(|content_type| (about::CONTENT_TYPE.to_owned(), content_type.into())));
    let text = |data: Bytes| String::from_utf8(data.to_vec()).unwrap_or_else(|_| STANDARD.encode(&data));
    user.extend(correlation.map(|data| (about::CORRELATION_ID.to_owned(), text(data))));
    user
}

fn message(will: Will) -> Message {
    Message {
        topic: will.topic,
        payload: will.payload,
        qos: will.qos,
        retain: will.retain,
        expires: will.expiry.map(|expiry| clock::instant() + expiry),
        properties: will.properties,
    }
}
