//! The properties of an MQTT 5 packet, where the codec library is too strict, too lenient or has one reason for all. Reads
//! bytes and keeps none.

use std::time::Duration;

use switchbox_model::{MessageProperties, PayloadFormat};
use switchbox_rules::topic;

use crate::{
    fault::{Fault, reason},
    frame,
};

const PAYLOAD_FORMAT: u8 = 0x01;
const MESSAGE_EXPIRY: u8 = 0x02;
const SUBSCRIPTION: u8 = 0x0b;
const REQUEST_PROBLEM_INFO: u8 = 0x17;
const REQUEST_RESPONSE_INFO: u8 = 0x19;
const RECEIVE_MAXIMUM: u8 = 0x21;
const TOPIC_ALIAS: u8 = 0x23;
const USER: u8 = 0x26;
const MAXIMUM_PACKET: u8 = 0x27;

/// Contents of properties that the library does not report.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) expiry: Option<Duration>,
    pub(crate) format: PayloadFormat,
    /// Where an expiry of 0 ends in the block.
    zero_at: Option<usize>,
}

impl Checked {
    /// The library takes an expiry of 0 for malformed: it is given 1 to read. `block` is a copy of what was checked, and
    /// perhaps more.
    pub(crate) fn make_readable(&self, block: Option<&mut [u8]>) {
        if let Some((at, block)) = self.zero_at.zip(block)
            && let Some(byte) = block.get_mut(at)
        {
            *byte = 1;
        }
    }
}

/// The properties that these bytes begin with, and what follows; none where a packet ends before them.
pub(crate) fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let short = || Fault::malformed("properties that are not whole");
    if bytes.is_empty() {
        return Ok((bytes, bytes));
    }
    let (length, header) = frame::variable_length(bytes)?.ok_or_else(short)?;
    bytes.get(header..).and_then(|bytes| bytes.split_at_checked(length)).ok_or_else(short)
}

/// Refuses properties that no packet may contain. The library checks that a property belongs to its packet and is UTF-8.
pub(crate) fn check(block: &[u8]) -> Result<Checked, Fault> {
    let mut checked = Checked::default();
    let (mut rest, mut seen) = (block, 0_u64);
    while !rest.is_empty() {
        let unknown = || Fault::malformed("a property that is unknown or not whole");
        let (id, value, after) = take(rest).ok_or_else(unknown)?;
        // No known one is over 0x2a.
        let bit = 1 << (id & 0x3f);
        if seen & bit != 0 && id != USER {
            return Err(Fault::protocol("a property that comes twice"));
        }
        seen |= bit;
        check_value(id, value)?;
        match (id, value) {
            (PAYLOAD_FORMAT, [0]) => checked.format = PayloadFormat::Unspecified,
            (PAYLOAD_FORMAT, [1]) => checked.format = PayloadFormat::Utf8,
            (MESSAGE_EXPIRY, [a, b, c, d]) => {
                let secs = u32::from_be_bytes([*a, *b, *c, *d]);
                checked.expiry = Some(Duration::from_secs(secs.into()));
                checked.zero_at = (secs == 0).then_some(block.len() - after.len() - 1);
            }
            _ => {}
        }
        rest = after;
    }
    Ok(checked)
}

/// The largest packet that a client takes by the properties of its CONNECT, as far as these can be read.
pub(crate) fn maximum_packet(block: &[u8]) -> Option<usize> {
    let mut rest = block;
    while let Some((id, value, after)) = take(rest) {
        if let (MAXIMUM_PACKET, [a, b, c, d]) = (id, value) {
            return usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok().filter(|most| *most > 0);
        }
        rest = after;
    }
    None
}

/// The first property's identifier, its value with the lengths of texts, and what follows.
fn take(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&id, rest) = bytes.split_first()?;
    let length = match id {
        PAYLOAD_FORMAT | REQUEST_PROBLEM_INFO | REQUEST_RESPONSE_INFO | 0x24 | 0x25 | 0x28..=0x2a => 1,
        0x13 | RECEIVE_MAXIMUM | 0x22 | TOPIC_ALIAS => 2,
        MESSAGE_EXPIRY | 0x11 | 0x18 | MAXIMUM_PACKET => 4,
        SUBSCRIPTION => frame::variable_length(rest).ok()??.1,
        id if is_text(id) || matches!(id, 0x09 | 0x16) => 2 + frame::take_binary(rest)?.0.len(),
        USER => {
            let (name, after) = frame::take_binary(rest)?;
            4 + name.len() + frame::take_binary(after)?.0.len()
        }
        _ => return None,
    };
    let (value, after) = rest.split_at_checked(length)?;
    Some((id, value, after))
}

fn is_text(id: u8) -> bool {
    matches!(id, 0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f)
}

fn check_value(id: u8, value: &[u8]) -> Result<(), Fault> {
    let is_zero = value.iter().all(|byte| byte & 0x7f == 0);
    match (id, value) {
        (TOPIC_ALIAS, [0, 0]) => Err(Fault::new(reason::TOPIC_ALIAS, "the topic alias 0")),
        (RECEIVE_MAXIMUM, [0, 0]) => Err(Fault::protocol("a receive maximum of 0")),
        (MAXIMUM_PACKET, [0, 0, 0, 0]) => Err(Fault::protocol("a maximum packet size of 0")),
        (SUBSCRIPTION, _) if is_zero => Err(Fault::protocol("the subscription identifier 0")),
        (REQUEST_PROBLEM_INFO | REQUEST_RESPONSE_INFO, [2..=u8::MAX]) => {
            Err(Fault::protocol("a request for information that is neither 0 nor 1"))
        }
        (id, texts) if (id == USER || is_text(id)) && has_nul(texts) => {
            Err(Fault::malformed("a text with the character NUL"))
        }
        _ => Ok(()),
    }
}

fn has_nul(mut texts: &[u8]) -> bool {
    while let Some((text, rest)) = frame::take_binary(texts) {
        if text.contains(&0) {
            return true;
        }
        texts = rest;
    }
    false
}

/// `None` when they are empty.
pub(crate) fn worth_keeping(kept: MessageProperties) -> Result<Option<Box<MessageProperties>>, Fault> {
    if let Some(topic) = &kept.response_topic {
        topic::check_name(topic)?;
    }
    Ok((kept != MessageProperties::default()).then(|| Box::new(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each property of MQTT 5 with a value that is allowed.
    const ALL: &[&[u8]] = &[
        &[0x01, 0],
        &[0x02, 0, 0, 0, 0],
        &[0x03, 0, 1, b'a'],
        &[0x08, 0, 1, b'a'],
        &[0x09, 0, 1, 0],
        &[0x0b, 0x80, 1],
        &[0x11, 0, 0, 0, 0],
        &[0x12, 0, 1, b'a'],
        &[0x13, 0, 0],
        &[0x15, 0, 1, b'a'],
        &[0x16, 0, 1, 0],
        &[0x17, 0],
        &[0x18, 0, 0, 0, 0],
        &[0x19, 1],
        &[0x1a, 0, 1, b'a'],
        &[0x1c, 0, 1, b'a'],
        &[0x1f, 0, 1, b'a'],
        &[0x21, 0, 1],
        &[0x22, 0, 0],
        &[0x23, 1, 0],
        &[0x24, 0],
        &[0x25, 0],
        &[0x26, 0, 1, b'a', 0, 0],
        &[0x27, 0, 0, 1, 0],
        &[0x28, 0],
        &[0x29, 0],
        &[0x2a, 0],
    ];

    #[test]
    fn each_property_is_read_and_every_cut_of_it_is_malformed() {
        for property in ALL {
            assert!(check(property).is_ok(), "{property:x?}");
            for end in 1..property.len() {
                assert_eq!(check(&property[..end]).unwrap_err().reason, reason::MALFORMED, "{property:x?} {end}");
            }
        }
        for id in (0..=u8::MAX).filter(|id| ALL.iter().all(|known| known[0] != *id)) {
            assert_eq!(check(&[id, 0, 0, 0, 0]).unwrap_err().reason, reason::MALFORMED, "{id:x}");
        }
    }

    #[test]
    fn among_all_others_the_expiry_of_0_is_found_and_replaced() {
        let mut block = ALL.concat();
        let checked = check(&block).unwrap();
        assert_eq!((checked.expiry, checked.format), (Some(Duration::ZERO), PayloadFormat::Unspecified));
        checked.make_readable(Some(&mut block));
        assert_eq!(check(&block).unwrap().expiry, Some(Duration::from_secs(1)));
        assert_eq!(maximum_packet(&block), Some(256));
    }

    #[test]
    fn a_block_is_split_off_by_its_length() {
        for (bytes, found) in [
            (&[][..], Some((&[][..], &[][..]))),
            (&[0], Some((&[], &[]))),
            (&[2, 1, 2, 3], Some((&[1, 2], &[3]))),
            (&[0x81, 0, 1], Some((&[1], &[]))),
            (&[2, 1], None),
            (&[0x80], None),
            (&[0xff, 0xff, 0xff, 0xff, 1], None),
        ] {
            assert_eq!(split(bytes).ok(), found, "{bytes:x?}");
        }
    }
}
