//! What a connection does with the bytes of its client, without a connection.

use switchbox_model::{PayloadLimits, limits};

use crate::{connect, decode::Decoder, frame::frame, packet::Version};

/// Decodes a CONNECT if there is one, and then packets, once in one piece and once in two: both must give the same.
pub fn packets(data: &[u8], v5: bool) {
    let version = if v5 { Version::V5 } else { Version::V311 };
    let data = match frame(data, limits::CONNECT_PACKET_BYTES) {
        Ok(Some(frame)) if frame.first == 0x10 => {
            let _ = connect::read(frame);
            data.get(frame.whole.len()..).unwrap_or_default()
        }
        _ => data,
    };
    let most = PayloadLimits::default().packet_bytes();
    let mut fault = None;
    let (packets, rest) = Decoder::new(version).decode(data, most, &mut fault);
    let at = data.first().map_or(0, |first| usize::from(*first) % data.len());
    let (first, second) = data.split_at(at);
    let mut decoder = Decoder::new(version);
    let mut later = None;
    let (mut again, left) = decoder.decode(first, most, &mut later);
    if later.is_none() {
        let joined = [left, second].concat();
        let (more, left) = decoder.decode(&joined, most, &mut later);
        again.extend(more);
        assert_eq!(left.len(), rest.len());
    }
    assert_eq!(format!("{packets:?}"), format!("{again:?}"));
    assert_eq!(fault.is_some(), later.is_some());
}
