//! Checks each frame of a client before the AMQP library reads it, because the library trusts the lengths and counts in a frame. A frame
//! shorter than its header ends its task by a panic. A `disposition` over 2^32 deliveries is 2^32 steps. Values are decoded by a function
//! that calls itself for each value within a value: enough of them use up the stack, which ends the process.

use std::collections::HashMap;

use crate::{
    encoding::{self, Malformed},
    performative::{CLOSE, DETACH, DISPOSITION, END, FrameHead, NoPerformative, OPEN, Performative, TRANSFER},
};
use switchbox_model::limits::{
    HUB_AMQP_FRAME_BYTES, HUB_AMQP_IDLE_MS, HUB_AMQP_PARTIAL_BYTES, HUB_AMQP_REQUEST_BYTES, HUB_AMQP_SETTLED,
    HUB_AMQP_UNAUTHENTICATED_BYTES,
};

/// Size, offset of the body in words, type, channel.
pub(crate) const HEADER_BYTES: usize = 8;
/// Why a frame is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongFrame {
    #[error("a frame has {HEADER_BYTES} bytes at least and {HUB_AMQP_FRAME_BYTES} at most")]
    Size,
    #[error("a frame of another type than AMQP, or with an extended header")]
    Header,
    #[error("the body of a frame is none of the performatives")]
    Performative,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a connection is opened once")]
    SecondOpen,
    #[error("an idle time-out of less than {HUB_AMQP_IDLE_MS} ms")]
    IdleTimeout,
    #[error("a disposition of more than {HUB_AMQP_SETTLED} deliveries")]
    Disposition,
    #[error("more than {HUB_AMQP_PARTIAL_BYTES} bytes of messages that are not complete")]
    PartialMessages,
    #[error("a message of more than {HUB_AMQP_UNAUTHENTICATED_BYTES} bytes before a token was sent to $cbs")]
    Unauthenticated,
}

/// A channel, and the handle of a link on it.
type Link = (u16, u32);

impl From<NoPerformative> for WrongFrame {
    fn from(no: NoPerformative) -> Self {
        match no {
            NoPerformative::Header => Self::Header,
            NoPerformative::Body => Self::Performative,
        }
    }
}

/// The checks of one connection's frames.
#[derive(Debug, Default)]
pub(crate) struct FrameCheck {
    is_open: bool,
    /// Incomplete messages. A message is checked as a whole, because the library decodes it as a whole. `None` for one that is
    /// larger than messages may be: the library refuses it by its size and does not decode it.
    partial: HashMap<Link, Option<Vec<u8>>>,
    /// Bytes of all incomplete messages.
    partial_bytes: usize,
}

impl FrameCheck {
    /// The length of the frame that begins with these bytes. Returns `None` if there are too few bytes.
    pub(crate) fn size(bytes: &[u8]) -> Result<Option<usize>, WrongFrame> {
        let Some((size, _)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let size = u32::from_be_bytes(*size);
        let fits = (HEADER_BYTES as u32..=HUB_AMQP_FRAME_BYTES).contains(&size);
        if fits { Ok(Some(size as usize)) } else { Err(WrongFrame::Size) }
    }

    /// Checks a complete frame, and returns its performative, or `None` for an empty frame. `is_authenticated`: the client has sent a valid
    /// token or key.
    pub(crate) fn check<'a>(
        &mut self,
        frame: &'a [u8],
        is_authenticated: bool,
    ) -> Result<Option<Performative<'a>>, WrongFrame> {
        let Some(head) = FrameHead::read(frame)? else { return Ok(None) };
        let performative = head.fields()?.ok_or(WrongFrame::Performative)?;
        self.check_performative(&performative, is_authenticated)?;
        Ok(Some(performative))
    }

    fn check_performative(
        &mut self,
        performative: &Performative<'_>,
        is_authenticated: bool,
    ) -> Result<(), WrongFrame> {
        let Performative { channel, code, after, .. } = *performative;
        let (field, number) = (|index| performative.field(index), |index| performative.number(index));
        let link = number(0).map(|handle| (channel, handle));
        match (code, link) {
            (TRANSFER, Some(_))
                if !is_authenticated && self.partial_bytes + after.len() > HUB_AMQP_UNAUTHENTICATED_BYTES =>
            {
                return Err(WrongFrame::Unauthenticated);
            }
            (TRANSFER, Some(link)) => {
                return self.transfer(link, encoding::is_true(field(5)), encoding::is_true(field(9)), after);
            }
            (OPEN, _) if std::mem::replace(&mut self.is_open, true) => return Err(WrongFrame::SecondOpen),
            (OPEN, _) if number(4).is_some_and(|ms| ms < HUB_AMQP_IDLE_MS && ms > 0) => {
                return Err(WrongFrame::IdleTimeout);
            }
            (DISPOSITION, _) => {
                let first = number(1).unwrap_or(0);
                if number(2).is_some_and(|last| last.saturating_sub(first) >= HUB_AMQP_SETTLED) {
                    return Err(WrongFrame::Disposition);
                }
            }
            (DETACH, Some(link)) => self.forget(|of| *of == link),
            (END, _) => self.forget(|of| of.0 == channel),
            (OPEN..=CLOSE, _) => {}
            _ => return Err(WrongFrame::Performative),
        }
        if after.is_empty() { Ok(()) } else { Err(WrongFrame::Performative) }
    }

    /// A piece of a message; the last one unless `more` is set.
    fn transfer(&mut self, link: Link, more: bool, is_aborted: bool, piece: &[u8]) -> Result<(), WrongFrame> {
        if is_aborted {
            self.forget(|of| *of == link);
            return Ok(());
        }
        if !more && !self.partial.contains_key(&link) {
            return sections(piece);
        }
        let message = self.partial.entry(link).or_insert_with(|| Some(Vec::new()));
        if let Some(bytes) = message {
            bytes.extend_from_slice(piece);
            self.partial_bytes += piece.len();
            if bytes.len() > HUB_AMQP_REQUEST_BYTES {
                self.partial_bytes -= bytes.len();
                *message = None;
            }
        }
        if self.partial_bytes > HUB_AMQP_PARTIAL_BYTES {
            return Err(WrongFrame::PartialMessages);
        }
        match message {
            Some(whole) if !more => {
                let checked = sections(whole);
                self.forget(|of| *of == link);
                checked
            }
            _ => Ok(()),
        }
    }

    fn forget(&mut self, is_gone: impl Fn(&Link) -> bool) {
        self.partial.retain(|link, _| !is_gone(link));
        self.partial_bytes = self.partial.values().flatten().map(Vec::len).sum();
    }
}

/// Checks the sections of a whole message.
pub(crate) fn sections(mut message: &[u8]) -> Result<(), WrongFrame> {
    while !message.is_empty() {
        message = encoding::skip(message)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(check: &mut FrameCheck, frame: &[u8], is_authenticated: bool) -> Result<(), WrongFrame> {
        check.check(frame, is_authenticated).map(drop)
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        [&size.to_be_bytes()[..], &[2, 0, 0, 7], body].concat()
    }

    fn performative(code: u8, fields: &[&[u8]]) -> Vec<u8> {
        let items = fields.concat();
        let (size, count) = (u8::try_from(items.len() + 1).unwrap(), u8::try_from(fields.len()).unwrap());
        [&[0, 0x53, code, 0xc0, size, count][..], &items].concat()
    }

    fn transfer(handle: u8, more: bool, payload: &[u8]) -> Vec<u8> {
        let fields =
            [&[0x52, handle][..], &[0x43], &[0xa0, 1, 1], &[0x43], &[0x42], if more { &[0x41] } else { &[0x42] }];
        frame(&[performative(TRANSFER, &fields), payload.to_vec()].concat())
    }

    fn check(frames: &[Vec<u8>]) -> Result<(), WrongFrame> {
        let mut check = FrameCheck::default();
        frames.iter().try_for_each(|frame| accept(&mut check, frame, true))
    }

    #[test]
    fn sizes_are_known_before_a_frame_is_there() {
        let size = |size: u32| FrameCheck::size(&size.to_be_bytes());
        assert_eq!(FrameCheck::size(&[0, 0, 0]), Ok(None));
        assert_eq!(size(8), Ok(Some(8)));
        assert_eq!(size(HUB_AMQP_FRAME_BYTES), Ok(Some(HUB_AMQP_FRAME_BYTES as usize)));
        for wrong in [0, 7, HUB_AMQP_FRAME_BYTES + 1, u32::MAX] {
            assert_eq!(size(wrong), Err(WrongFrame::Size));
        }
    }

    #[test]
    fn frames_of_a_connection_pass() {
        let open = performative(OPEN, &[&[0xa1, 1, b'a'], &[0x40], &[0x40], &[0x40], &[0x70, 0, 0, 0xea, 0x60]]);
        let value = [0, 0x53, 0x77, 0xa1, 1, b'x'];
        let settled = performative(DISPOSITION, &[&[0x41], &[0x43], &[0x52, 200], &[0x41]]);
        let frames = [
            frame(&open),
            frame(&[]),
            frame(&performative(0x11, &[])),
            transfer(1, false, &value),
            transfer(2, true, &value[..3]),
            transfer(1, false, &value),
            transfer(2, false, &value[3..]),
            frame(&settled),
            frame(&performative(CLOSE, &[])),
        ];
        assert_eq!(check(&frames), Ok(()));
    }

    #[test]
    fn what_the_library_would_not_survive_is_refused() {
        let bomb = [&[0, 0x53, 0x77][..], &[0, 0x40].repeat(20_000), &[0x40]].concat();
        let range = performative(DISPOSITION, &[&[0x41], &[0x43], &[0x70, 0xff, 0xff, 0xff, 0xff], &[0x41]]);
        let open = |ms: u8| frame(&performative(OPEN, &[&[0xa1, 1, b'a'], &[0x40], &[0x40], &[0x40], &[0x52, ms]]));
        for (frames, wrong) in [
            (vec![transfer(1, false, &bomb)], WrongFrame::Malformed(Malformed::Depth)),
            (
                vec![transfer(1, true, &bomb[..9]), transfer(1, false, &bomb[9..])],
                WrongFrame::Malformed(Malformed::Depth),
            ),
            (vec![transfer(1, false, &[0, 0x53, 0x73, 0xc0, 0])], WrongFrame::Malformed(Malformed::Size)),
            (vec![frame(&range)], WrongFrame::Disposition),
            (vec![frame(&[0, 0x53, OPEN, 0xc0, 0])], WrongFrame::Malformed(Malformed::Size)),
            (vec![frame(&performative(0x99, &[]))], WrongFrame::Performative),
            (vec![open(1)], WrongFrame::IdleTimeout),
            (vec![open(0), open(0)], WrongFrame::SecondOpen),
            (vec![vec![0, 0, 0, 8, 2, 1, 0, 0]], WrongFrame::Header),
            (vec![vec![0, 0, 0, 8, 3, 0, 0, 0]], WrongFrame::Header),
        ] {
            assert_eq!(check(&frames), Err(wrong));
        }
    }

    #[test]
    fn parts_of_messages_are_bounded_and_forgotten_with_their_link() {
        let mut check = FrameCheck::default();
        let part = |handle| transfer(handle, true, &[0; 60_000]);
        // The library refuses the message by its size, so none of it is stored here.
        (0..20).for_each(|_| accept(&mut check, &part(1), true).unwrap());
        assert_eq!(check.partial_bytes, 0);
        (0..4).for_each(|_| accept(&mut check, &part(2), true).unwrap());
        (0..4).for_each(|_| accept(&mut check, &part(3), true).unwrap());
        accept(&mut check, &frame(&performative(DETACH, &[&[0x52, 2]])), true).unwrap();
        (0..4).for_each(|_| accept(&mut check, &part(4), true).unwrap());
        assert_eq!(accept(&mut check, &part(5), true), Err(WrongFrame::PartialMessages));
        accept(&mut check, &frame(&performative(END, &[])), true).unwrap();
        assert_eq!((check.partial_bytes, check.partial.len()), (0, 0));
        let token = |handle| transfer(handle, true, &[0; 10_000]);
        accept(&mut check, &token(1), false).unwrap();
        assert_eq!(accept(&mut check, &token(2), false), Err(WrongFrame::Unauthenticated));
    }
}
