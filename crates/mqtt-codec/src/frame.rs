//! What every packet is made of: its first byte and length, lengths of one to four bytes, texts with a length before them.

use bytes::BufMut;

use crate::fault::{Fault, reason};

/// One whole packet's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub first: u8,
    pub body: &'a [u8],
    /// With its header.
    pub whole: &'a [u8],
}

/// The first packet of `bytes`; None while it is not all there. Refuses one over `limit` bytes by its header alone.
pub fn frame(bytes: &[u8], limit: usize) -> Result<Option<Frame<'_>>, Fault> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((length, header)) = variable_length(rest)? else { return Ok(None) };
    if 1 + header + length > limit {
        return Err(too_large(first, rest.get(header..).unwrap_or_default(), 1 + header + length, limit));
    }
    match (bytes.get(1 + header..1 + header + length), bytes.get(..1 + header + length)) {
        (Some(body), Some(whole)) => Ok(Some(Frame { first, body, whole })),
        _ => Ok(None),
    }
}

/// Names the topic where that has come.
fn too_large(first: u8, body: &[u8], bytes: usize, limit: usize) -> Fault {
    /// Of a topic.
    const SHOWN: usize = 200;
    let topic = take_binary(body).filter(|_| first >> 4 == 3);
    let packet = match topic.map(|(topic, _)| String::from_utf8_lossy(topic.get(..SHOWN).unwrap_or(topic))) {
        Some(topic) => format!("a PUBLISH to {topic:?}"),
        None => "a packet".to_owned(),
    };
    Fault::new(reason::TOO_LARGE, format!("{packet} of {bytes} bytes is over the limit of {limit}"))
}

/// Reads a variable byte integer and its length. `None` when more bytes are needed.
pub fn variable_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Fault::malformed("a length of more than four bytes")) }
}

/// A length of two bytes, and that many bytes.
pub fn take_binary(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

pub fn no_nul(text: &str) -> Result<(), Fault> {
    if text.contains('\0') { Err(Fault::malformed("a text with the character NUL")) } else { Ok(()) }
}

/// Bytes that [`put_variable_length`] takes.
pub fn variable_length_size(length: usize) -> usize {
    match length {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

pub fn put_variable_length(mut length: usize, to: &mut impl BufMut) {
    while length > 0x7f {
        to.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.put_u8(length as u8);
}
