//! What a bridge of mosquitto's, another broker that connects as a client, does otherwise than a client. It says that it is one by the
//! highest bit of the protocol level. MQTT 3.1.1 has neither no-local nor retain as published, and a bridge needs both: without them it
//! gets back what it sent. Pure.

use zeroize::Zeroizing;

use crate::frame::{self, Frame, put_variable_length};

/// The bit of the protocol level.
const BIT: u8 = 0x80;

/// The CONNECT of a bridge in the form of an MQTT 3.1.1 client. Returns `None` if it is not from a bridge. Level 3 (`MQIsdp`) has
/// the same fields, and its later packets are the same too.
pub(crate) fn as_client(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const LEVEL_3: u8 = BIT | 3;
    const LEVEL_4: u8 = BIT | 4;
    let rest = match frame::take_binary(body)? {
        (b"MQIsdp", [LEVEL_3, rest @ ..]) | (b"MQTT", [LEVEL_4, rest @ ..]) => rest,
        _ => return None,
    };
    const HEAD: &[u8] = b"\0\x04MQTT\x04";
    // Never grows, as that would leave a copy after: there is a secret in it.
    let mut whole = Zeroizing::new(Vec::with_capacity(1 + 4 + HEAD.len() + rest.len()));
    whole.push(0x10);
    put_variable_length(HEAD.len() + rest.len(), &mut *whole);
    whole.extend_from_slice(HEAD);
    whole.extend_from_slice(rest);
    Some(whole)
}

/// The packet that [`as_client`] gave.
pub(crate) fn frame(whole: &[u8]) -> Option<Frame<'_>> {
    frame::frame(whole, usize::MAX).ok().flatten()
}

/// Whether a level is of the form of MQTT 3: what is answered to it.
pub(crate) fn is_level_of_3(level: u8) -> bool {
    level & !BIT <= 4
}
