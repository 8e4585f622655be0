//! Fuzzes the frames that a client sends after SASL, without a connection.

use fe2o3_amqp::frames::amqp::{FrameBody, FrameDecoder};
use fe2o3_amqp_types::{
    messaging::{Body, message::DecodeIntoMessage as _},
    primitives::Value,
};
use serde_amqp::read::SliceReader;
use tokio_util::codec::Decoder as _;

use crate::frame_check::FrameCheck;

/// Checks a sequence of frames. Accepted ones are passed to the library, which must not panic.
pub fn frames(mut data: &[u8]) {
    let mut check = FrameCheck::default();
    while let Ok(Some(size)) = FrameCheck::size(data) {
        let Some((frame, rest)) = data.split_at_checked(size) else { return };
        data = rest;
        if check.check(frame, true).is_err() {
            return;
        }
        let mut bytes = frame.get(4..).unwrap_or_default().into();
        if let Ok(Some(frame)) = (FrameDecoder {}).decode(&mut bytes)
            && let FrameBody::Transfer { performative, payload } = frame.body
            && !performative.more
        {
            let _ = Body::<Value>::decode_message_from_reader(SliceReader::new(&payload));
        }
    }
}
