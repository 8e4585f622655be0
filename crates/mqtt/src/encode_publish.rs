//! What a session sends becomes a PUBLISH: a message of the broker as it is, a delivery of the hub by the dialect of its device.

use std::time::Instant;

use bytes::BytesMut;
use switchbox_delivery::Outbound;
use switchbox_model::{DeviceId, QoS};
use switchbox_mqtt_codec::{
    encode::{Peer, PublishHead, put_request},
    packet::Version,
};
use switchbox_mqtt_session::session::{Body, Item};

use super::device_delivery::DeviceDelivery;
use crate::dialect::iot_core;

/// Writes it for this client. `own`: the client's own device. False when it is over what the client takes: nothing was written.
pub(super) fn publish(
    peer: &mut Peer,
    (id, dup): (u16, bool),
    item: &Item<DeviceDelivery>,
    own: Option<&DeviceId>,
    now: Instant,
    to: &mut BytesMut,
) -> bool {
    let head = PublishHead { qos: item.qos, retain: false, dup, id };
    match &item.body {
        Body::Message { message, retain, ids, .. } => {
            peer.message(PublishHead { retain: *retain, ..head }, message, ids, now, to)
        }
        Body::Device(DeviceDelivery { device, outbound }) => {
            let Some(device) = device.as_ref().map(|device| &device.name.id).or(own) else { return false };
            delivery(peer, head, device, outbound, to)
        }
    }
}

fn delivery(peer: &Peer, head: PublishHead, device: &DeviceId, outbound: &Outbound, to: &mut BytesMut) -> bool {
    let again = matches!(outbound, Outbound::Command { again: true, .. }) && head.qos != QoS::AtMostOnce;
    let mut properties = BytesMut::new();
    let payload = match outbound {
        Outbound::Config { payload, .. } | Outbound::Command { payload, .. } => payload,
        Outbound::Method { payload, name, rid, .. } => {
            if peer.version == Version::V5 {
                let response_topic = iot_core::response_topic(device, name, *rid);
                put_request(&response_topic, rid.to_string().as_bytes(), &mut properties);
            }
            payload
        }
    };
    let head = PublishHead { dup: head.dup || again, ..head };
    peer.publish(head, &iot_core::topic(device, outbound), &properties, payload, to)
}
