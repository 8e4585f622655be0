//! The beginning of an AMQP 1.0 frame with a performative: its channel, which performative it is, and its fields. Reads the encoding
//! only; what the fields mean is decided by the callers.

use crate::encoding::{self, List, Malformed};

pub(crate) const OPEN: u8 = 0x10;
pub(crate) const BEGIN: u8 = 0x11;
pub(crate) const FLOW: u8 = 0x13;
pub(crate) const TRANSFER: u8 = 0x14;
pub(crate) const DISPOSITION: u8 = 0x15;
pub(crate) const DETACH: u8 = 0x16;
pub(crate) const END: u8 = 0x17;
pub(crate) const CLOSE: u8 = 0x18;

/// Maximum number of fields of a performative.
const FIELDS: usize = 14;

/// Why a frame has no performative that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPerformative {
    /// Another type than AMQP, or an extended header.
    Header,
    /// The body is not a described list.
    Body,
}

/// A frame whose fields are not read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHead<'a> {
    pub(crate) channel: u16,
    pub(crate) code: u8,
    /// The list of the fields, and what follows it.
    list: &'a [u8],
}

/// A performative with its fields.
pub(crate) struct Performative<'a> {
    pub(crate) channel: u16,
    pub(crate) code: u8,
    fields: Vec<&'a [u8]>,
    /// The bytes that follow it: a message, or a part of one.
    pub(crate) after: &'a [u8],
}

impl<'a> FrameHead<'a> {
    /// Returns `None` for an empty frame, which only keeps the connection alive.
    pub(crate) fn read(frame: &'a [u8]) -> Result<Option<Self>, NoPerformative> {
        let [_, _, _, _, 2, 0, high, low, body @ ..] = frame else { return Err(NoPerformative::Header) };
        let channel = u16::from_be_bytes([*high, *low]);
        match body {
            [] => Ok(None),
            [0x00, 0x53, code, list @ ..] | [0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, code, list @ ..] => {
                Ok(Some(Self { channel, code: *code, list }))
            }
            _ => Err(NoPerformative::Body),
        }
    }

    /// The encoded value of one field, without reading those after it. Returns `None` if it is left out, or if the fields are not a list.
    pub(crate) fn field(self, index: usize) -> Option<&'a [u8]> {
        encoding::item(self.list, index)
    }

    /// Returns `None` if the fields are not a list.
    pub(crate) fn fields(self) -> Result<Option<Performative<'a>>, Malformed> {
        let Self { channel, code, list } = self;
        let list = encoding::list(list, FIELDS)?;
        Ok(list.map(|List { items, after }| Performative { channel, code, fields: items, after }))
    }
}

impl<'a> Performative<'a> {
    /// The encoded value of a field; null if it is left out.
    pub(crate) fn field(&self, index: usize) -> &'a [u8] {
        self.fields.get(index).copied().unwrap_or(&[encoding::NULL])
    }

    /// Returns `None` if the field is not a `uint`.
    pub(crate) fn number(&self, index: usize) -> Option<u32> {
        encoding::uint(self.field(index))
    }
}
