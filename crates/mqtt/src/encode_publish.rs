//! Encodes an item of a session as PUBLISH: a message unchanged, a delivery to a device in the dialect of the device.

use std::{sync::Arc, time::Instant};

use bytes::BytesMut;
use switchbox_azure::twin;
use switchbox_core::registry::Device;
use switchbox_delivery::{Outbound, OutboundCall, traceparent};
use switchbox_model::QoS;
use switchbox_mqtt_codec::{
    encode::{Peer, PublishHead, put_command_properties, put_request, put_subscription_ids, put_user_property},
    packet::Version,
};
use switchbox_mqtt_session::session::{Body, Item};
use switchbox_telemetry::{PROPERTY, Tracer};

use super::device_delivery::DeviceDelivery;
use crate::{dialect::Dialect, mailbox::Mailbox};

/// The receiving client, as far as the encoding depends on it.
pub(super) struct Receiver<'a> {
    pub(super) device: Option<&'a Arc<Device>>,
    pub(super) dialect: Dialect,
    pub(super) mailbox: &'a Mailbox,
    /// A buffer for the text of a change of the config.
    pub(super) change: &'a mut String,
    pub(super) traces: &'a Tracer,
}

/// Encodes the item for this client. Returns false, and writes nothing, if the packet is larger than the client accepts.
pub(super) fn publish(
    peer: &mut Peer,
    (id, dup): (u16, bool),
    item: &Item<DeviceDelivery>,
    receiver: Receiver<'_>,
    now: Instant,
    out: &mut BytesMut,
) -> bool {
    let head = PublishHead { qos: item.qos, retain: false, dup, id };
    match &item.body {
        Body::Message { message, retain, matched } => {
            let ids = matched.as_ref().map_or(&[][..], |matched| &matched.ids);
            peer.message(PublishHead { retain: *retain, ..head }, message, ids, now, out)
        }
        Body::Device(device_delivery) => {
            let Receiver { device: own_device, dialect, mailbox, change, traces } = receiver;
            let DeviceDelivery { device: attached, outbound } = device_delivery;
            let ids = if peer.version == Version::V5 {
                let attached = attached.as_ref().map(|device| &device.name.id);
                let is_in_subfolder = matches!(outbound, Outbound::Command(command) if !command.subfolder.is_empty());
                mailbox.lock().downlink_ids(attached, device_delivery.downlink_kind(), is_in_subfolder)
            } else {
                Vec::new()
            };
            if let Some(device) = attached {
                let outgoing = (device, outbound, &*ids);
                return delivery(peer, head, Dialect::IotCore, outgoing, outbound.payload(), traces, out);
            }
            let Some(device) = own_device else { return false };
            let outgoing = (device, outbound, &*ids);
            match outbound {
                Outbound::Config(config) if !dialect.rules().sends_config => {
                    let mut known_config = mailbox.known_config.lock();
                    twin::config_change(&known_config, &config.payload, config.version, change);
                    let is_sent = delivery(peer, head, dialect, outgoing, change.as_bytes(), traces, out);
                    if is_sent {
                        // A change that is too large for the client does not reach it, and leaves the known config as it was.
                        known_config.clone_from(&config.payload);
                    }
                    is_sent
                }
                _ => delivery(peer, head, dialect, outgoing, outbound.payload(), traces, out),
            }
        }
    }
}

/// Encodes a delivery to a device, with the Subscription Identifiers of the client's subscriptions to it. `payload` is that of `outbound`, or
/// the change for a client that is sent only changes of its config.
/// Returns false, and writes nothing, if the packet is larger than the client accepts.
fn delivery(
    peer: &Peer,
    head: PublishHead,
    dialect: Dialect,
    (device, outbound, ids): (&Arc<Device>, &Outbound, &[u32]),
    payload: &[u8],
    traces: &Tracer,
    out: &mut BytesMut,
) -> bool {
    let is_sent_again = matches!(outbound, Outbound::Command(command) if command.again);
    let is_retransmission = is_sent_again && head.qos != QoS::AtMostOnce;
    let mut properties = BytesMut::new();
    let payload = match outbound {
        Outbound::Config(_) => payload,
        Outbound::Command(command) => {
            if peer.version == Version::V5 && !dialect.rules().properties_in_topic {
                put_command_properties(&command.properties, &mut properties);
            }
            payload
        }
        Outbound::Method(call) => {
            let OutboundCall { name, rid, .. } = &**call;
            let response_topic =
                dialect.response_topic(&device.name.id, name, *rid).filter(|_| peer.version == Version::V5);
            if let Some(response_topic) = response_topic {
                put_request(&response_topic, rid.to_string().as_bytes(), &mut properties);
            }
            if payload.is_empty() { dialect.rules().no_arguments } else { payload }
        }
    };
    put_subscription_ids(ids, &mut properties);
    let head = PublishHead { dup: head.dup || is_retransmission, ..head };
    let topic = dialect.topic(&device.name.id, outbound);
    if peer.version == Version::V5
        && let Some(traceparent) = traceparent(traces, outbound)
    {
        let len_before = properties.len();
        put_user_property(PROPERTY, &traceparent, &mut properties);
        if peer.publish(head, &topic, &properties, payload, out) {
            return true;
        }
        // With `traceparent` the packet is larger than the client accepts.
        properties.truncate(len_before);
    }
    peer.publish(head, &topic, &properties, payload, out)
}
