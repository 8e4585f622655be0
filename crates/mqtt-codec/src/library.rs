//! The use of the codec library, for rare packets, and the texts of its errors.

use bytes::BytesMut;
use rmqtt_codec::{error::DecodeError, v3, v5};
use switchbox_model::QoS;
use tokio_util::codec::Decoder as _;

use crate::{
    fault::{Fault, reason},
    frame::Frame,
};

pub(crate) fn from_library(qos: rmqtt_codec::types::QoS) -> QoS {
    match qos {
        rmqtt_codec::types::QoS::AtMostOnce => QoS::AtMostOnce,
        rmqtt_codec::types::QoS::AtLeastOnce => QoS::AtLeastOnce,
        rmqtt_codec::types::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

pub(crate) fn library_v3(frame: Frame<'_>) -> Result<v3::Packet, Fault> {
    let decoded = v3::Codec::new(0).decode(&mut BytesMut::from(frame.whole));
    decoded.map_err(fault)?.map(|(packet, _)| packet).ok_or_else(|| Fault::malformed("a packet that is too short"))
}

pub(crate) fn library_v5(mut whole: BytesMut) -> Result<v5::Packet, Fault> {
    let decoded = v5::Codec::new(0, 0).decode(&mut whole);
    decoded.map_err(fault)?.map(|(packet, _)| packet).ok_or_else(|| Fault::malformed("a packet that is too short"))
}

fn fault(error: DecodeError) -> Fault {
    let reason = match error {
        DecodeError::InvalidClientId => reason::CLIENT_ID,
        DecodeError::UnsupportedProtocolLevel | DecodeError::InvalidProtocol => reason::UNSUPPORTED_VERSION,
        DecodeError::InvalidTopicFilter | DecodeError::UnsupportedPacketType => reason::PROTOCOL,
        _ => reason::MALFORMED,
    };
    Fault::new(reason, error.to_string().to_lowercase())
}
