//! What a session sends becomes a PUBLISH: a message of the broker as it is, a delivery of the hub by the dialect of its device.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use switchbox_delivery::Outbound;
use switchbox_model::{DeviceId, QoS};
use switchbox_mqtt_codec::{
    encode::{Peer, PublishHead, put_request},
    packet::Version,
};
use switchbox_mqtt_session::session::{Body, Item};

use super::device_delivery::DeviceDelivery;
use crate::dialect::{Dialect, twin};

/// What is delivered to the client itself goes by.
pub(super) struct Own<'a> {
    pub(super) device: Option<&'a DeviceId>,
    pub(super) dialect: Dialect,
    /// The config that it has, where it is sent only what changes.
    pub(super) known_config: &'a mut Bytes,
}

/// Writes it for this client. False when it is over what the client takes: nothing was written.
pub(super) fn publish(
    peer: &mut Peer,
    (id, dup): (u16, bool),
    item: &Item<DeviceDelivery>,
    own: Own<'_>,
    now: Instant,
    to: &mut BytesMut,
) -> bool {
    let head = PublishHead { qos: item.qos, retain: false, dup, id };
    match &item.body {
        Body::Message { message, retain, ids, .. } => {
            peer.message(PublishHead { retain: *retain, ..head }, message, ids, now, to)
        }
        Body::Device(DeviceDelivery { device, outbound }) => {
            if let Some(device) = device {
                return delivery(peer, head, Dialect::IotCore, (&device.name.id, outbound), to);
            }
            let Own { device: Some(device), dialect, known_config } = own else { return false };
            let Outbound::Config { version, payload } = outbound else {
                return delivery(peer, head, dialect, (device, outbound), to);
            };
            if dialect.rules().sends_config {
                return delivery(peer, head, dialect, (device, outbound), to);
            }
            let Some(change) = twin::config_change(known_config, payload, *version) else { return false };
            *known_config = payload.clone();
            let change = Outbound::Config { version: *version, payload: change.into() };
            delivery(peer, head, dialect, (device, &change), to)
        }
    }
}

fn delivery(
    peer: &Peer,
    head: PublishHead,
    dialect: Dialect,
    (device, outbound): (&DeviceId, &Outbound),
    to: &mut BytesMut,
) -> bool {
    let again = matches!(outbound, Outbound::Command { again: true, .. }) && head.qos != QoS::AtMostOnce;
    let mut properties = BytesMut::new();
    let payload = match outbound {
        Outbound::Config { payload, .. } | Outbound::Command { payload, .. } => payload.as_ref(),
        Outbound::Method { payload, name, rid, .. } => {
            let response_topic = dialect.response_topic(device, name, *rid).filter(|_| peer.version == Version::V5);
            if let Some(response_topic) = response_topic {
                put_request(&response_topic, rid.to_string().as_bytes(), &mut properties);
            }
            if payload.is_empty() { dialect.rules().no_arguments } else { payload.as_ref() }
        }
    };
    let head = PublishHead { dup: head.dup || again, ..head };
    peer.publish(head, &dialect.topic(device, outbound), &properties, payload, to)
}
