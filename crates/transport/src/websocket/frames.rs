//! WebSocket frames (RFC 6455, section 5): those of the client are decoded as their bytes come, so frames and messages may have any length,
//! and only a header or a control frame is buffered. Pure.

use bytes::{BufMut, BytesMut};

/// Limit of a control frame's payload, bytes.
const CONTROL_BYTES: usize = 125;
/// The longest frame, bytes. Frames are not held in memory, so the limit only refuses lengths that no client can mean.
const FRAME_BYTES: u64 = u32::MAX as u64;
/// The longest header of a client's frame, bytes.
const HEADER_BYTES: usize = 14;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
/// The opcode of what is sent.
pub const BINARY: u8 = 0x2;
/// The opcode that ends a stream.
pub const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
/// The opcode that answers a ping.
pub const PONG: u8 = 0xa;

/// The status codes of close frames (RFC 6455, section 7.4.1) that are sent.
pub mod status {
    pub const NORMAL: u16 = 1000;
    pub const GOING_AWAY: u16 = 1001;
    pub const PROTOCOL: u16 = 1002;
    pub const UNSUPPORTED: u16 = 1003;
    pub const POLICY: u16 = 1008;
    pub const TOO_BIG: u16 = 1009;
}

/// A violation of RFC 6455 by the client, or a text message. It ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The status code for the close frame.
    pub status: u16,
    pub text: &'static str,
}

fn protocol(text: &'static str) -> Failure {
    Failure { status: status::PROTOCOL, text }
}

/// What was found in some bytes of the client.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of binary messages. They have been moved to the beginning of the buffer.
    pub payload: usize,
    /// The newest ping, which is to be answered; the ones before it need no answer.
    pub ping: Option<Vec<u8>>,
    /// Set when nothing more is read: the client's close frame came, with the status code for the answer, or a failure.
    pub end: Option<Result<Option<u16>, Failure>>,
}

/// A frame whose payload is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    last: bool,
    opcode: u8,
    /// Bytes of the payload that are still to come.
    left: u64,
    mask: [u8; 4],
}

impl Frame {
    fn is_control(self) -> bool {
        self.opcode >= CLOSE
    }
}

/// The state of the decoder between two reads.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have come.
    header_bytes: usize,
    frame: Option<Frame>,
    /// Whether a message has begun whose last frame has not ended.
    in_message: bool,
    /// The bytes of a control frame that have come.
    control: Vec<u8>,
}

impl Frames {
    /// Whether a frame or a message has begun whose end has not come.
    #[must_use]
    pub fn is_half_read(&self) -> bool {
        self.header_bytes > 0 || self.frame.is_some() || self.in_message
    }

    /// Decodes frames in place: it moves the payload of binary messages to the beginning of `bytes`.
    pub fn take(&mut self, bytes: &mut [u8]) -> Decoded {
        let mut taken = Decoded::default();
        let mut at = 0;
        while at < bytes.len() && taken.end.is_none() {
            let Some(mut frame) = self.frame else {
                let Some(byte) = bytes.get(at).copied() else { break };
                at += 1;
                match self.header_byte(byte) {
                    Ok(()) => self.end_frame_if_whole(&mut taken),
                    Err(failure) => taken.end = Some(Err(failure)),
                }
                continue;
            };
            let there = bytes.len() - at;
            let length = usize::try_from(frame.left).map_or(there, |left| left.min(there));
            let piece = bytes.get_mut(at..at + length).unwrap_or_default();
            unmask(piece, &mut frame.mask);
            if frame.is_control() {
                self.control.extend_from_slice(piece);
            } else {
                bytes.copy_within(at..at + length, taken.payload);
                taken.payload += length;
            }
            at += length;
            frame.left -= length as u64;
            self.frame = Some(frame);
            self.end_frame_if_whole(&mut taken);
        }
        taken
    }

    fn header_byte(&mut self, byte: u8) -> Result<(), Failure> {
        if let Some(place) = self.header.get_mut(self.header_bytes) {
            *place = byte;
        }
        self.header_bytes += 1;
        let Some(frame) = header(self.header.get(..self.header_bytes).unwrap_or_default())? else { return Ok(()) };
        match (frame.opcode, self.in_message) {
            (BINARY, false) | (CONTINUATION, true) => self.in_message = !frame.last,
            (BINARY, true) => return Err(protocol("a WebSocket message within another")),
            (CONTINUATION, false) => return Err(protocol("a WebSocket continuation of nothing")),
            (TEXT, _) => {
                let text = "a WebSocket text message: here, bytes come in binary messages";
                return Err(Failure { status: status::UNSUPPORTED, text });
            }
            (CLOSE | PING | PONG, _) => {}
            _ => return Err(protocol("a WebSocket frame of an unknown kind")),
        }
        self.header_bytes = 0;
        self.frame = Some(frame);
        Ok(())
    }

    fn end_frame_if_whole(&mut self, taken: &mut Decoded) {
        let Some(frame) = self.frame.take_if(|frame| frame.left == 0) else { return };
        match frame.opcode {
            PING => taken.ping = Some(std::mem::take(&mut self.control)),
            CLOSE => taken.end = Some(answer_to(&self.control)),
            _ => {}
        }
        self.control = Vec::new();
    }
}

/// Reads a frame's header. Returns `None` if more bytes are needed.
fn header(bytes: &[u8]) -> Result<Option<Frame>, Failure> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(protocol("reserved bits of a WebSocket frame are set"));
    }
    if second & 0x80 == 0 {
        return Err(protocol("a client's WebSocket frame must be masked"));
    }
    let (last, opcode, short) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
    if opcode >= CLOSE && (!last || usize::from(short) > CONTROL_BYTES) {
        return Err(protocol("a WebSocket control frame that is cut, or longer than 125 bytes"));
    }
    let (left, rest) = match short {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (short.into(), rest),
    };
    if left > FRAME_BYTES {
        return Err(Failure { status: status::TOO_BIG, text: "a WebSocket frame of 4 GiB or more" });
    }
    Ok(rest.first_chunk().map(|mask| Frame { last, opcode, left, mask: *mask }))
}

/// Unmasks the bytes and rotates the mask, so that its first byte belongs to the next byte of the payload.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let mut pieces = bytes.chunks_exact_mut(4);
    let word = u32::from_ne_bytes(*mask);
    for piece in &mut pieces {
        if let Some(four) = piece.first_chunk_mut::<4>() {
            *four = (u32::from_ne_bytes(*four) ^ word).to_ne_bytes();
        }
    }
    let rest = pieces.into_remainder();
    rest.iter_mut().zip(*mask).for_each(|(byte, mask)| *byte ^= mask);
    mask.rotate_left(rest.len());
}

/// The status code that answers a close frame: the client's own, if it is one that may be sent; none where it gave none.
fn answer_to(close: &[u8]) -> Result<Option<u16>, Failure> {
    match close {
        [] => Ok(None),
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
            _ => Err(protocol("a WebSocket close frame with a status code that may not be sent")),
        },
        [_] => Err(protocol("a WebSocket close frame with half a status code")),
    }
}

/// Writes one frame of the host.
pub fn put(opcode: u8, payload: &[u8], to: &mut BytesMut) {
    to.reserve(10 + payload.len());
    to.put_u8(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => to.put_u8(length as u8),
        length @ 126..=0xffff => {
            to.put_u8(126);
            to.put_u16(length as u16);
        }
        length => {
            to.put_u8(127);
            to.put_u64(length as u64);
        }
    }
    to.put_slice(payload);
}

/// The payload of a close frame. `words` is cut to what fits.
#[must_use]
pub fn close(status: Option<u16>, words: &str) -> Vec<u8> {
    let Some(status) = status else { return Vec::new() };
    let mut length = words.len().min(CONTROL_BYTES - 2);
    while !words.is_char_boundary(length) {
        length -= 1;
    }
    [&status.to_be_bytes(), words.get(..length).unwrap_or_default().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 0xff];

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = BytesMut::new();
        put(first, payload, &mut frame);
        let header = frame.len() - payload.len();
        frame[0] = first;
        frame[1] |= 0x80;
        let bytes = payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        frame[..header].iter().copied().chain(MASK).chain(bytes).collect()
    }

    /// As [`Decoded::end`].
    type ConnectionEnd = Option<Result<Option<u16>, Failure>>;

    /// All payload, the pings, and how it ends, with the bytes given in pieces of this size.
    fn all(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<Vec<u8>>, ConnectionEnd) {
        let (mut frames, mut payload, mut pings) = (Frames::default(), Vec::new(), Vec::new());
        for piece in bytes.chunks(size) {
            let mut place = piece.to_vec();
            let taken = frames.take(&mut place);
            payload.extend(&place[..taken.payload]);
            pings.extend(taken.ping);
            if taken.end.is_some() {
                return (payload, pings, taken.end);
            }
        }
        assert!(!frames.is_half_read());
        (payload, pings, None)
    }

    #[test]
    fn messages_are_one_stream_however_they_and_their_bytes_are_cut() {
        let long: Vec<u8> = (0..70_000_u32).map(|n| (n % 251) as u8).collect();
        let bytes = [
            masked(0x82, &long),
            masked(0x02, b"begins"),
            masked(0x89, b"are you there"),
            masked(0x00, b""),
            masked(0x8a, b"nobody asked"),
            masked(0x80, &[7; 200]),
        ]
        .concat();
        let expect = [&long[..], b"begins", &[7; 200]].concat();
        for size in [1, 2, 7, 4096, bytes.len()] {
            let (payload, pings, end) = all(&bytes, size);
            assert!(payload == expect && end.is_none(), "{size}");
            assert_eq!(pings, [b"are you there"], "{size}");
        }
    }

    #[test]
    fn what_is_wrong_ends_the_stream_behind_what_was_right() {
        for (frame, status) in [
            (masked(0x81, b"text"), 1003),
            (masked(0xc2, b"reserved"), 1002),
            (masked(0x83, b"unknown"), 1002),
            (masked(0x80, b"of nothing"), 1002),
            (masked(0x09, b"cut"), 1002),
            (masked(0x89, &[0; 126]), 1002),
            (masked(0x88, &[3]), 1002),
            (masked(0x88, &1005_u16.to_be_bytes()), 1002),
            (vec![0x82, 1, 0x10], 1002),
            ([&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0][..], &MASK].concat(), 1009),
        ] {
            let bytes = [masked(0x82, b"right"), frame.clone(), masked(0x82, b"late")].concat();
            for size in [1, bytes.len()] {
                let (payload, _, end) = all(&bytes, size);
                assert_eq!(payload, b"right", "{frame:?}");
                assert_eq!(end.unwrap().unwrap_err().status, status, "{frame:?}");
            }
        }
        let (_, _, end) = all(&[masked(0x02, b"a"), masked(0x82, b"b")].concat(), 1);
        assert_eq!(end.unwrap().unwrap_err().status, 1002);
    }

    #[test]
    fn a_close_frame_is_answered_with_its_own_status() {
        for (payload, answer) in [(&b""[..], None), (b"\x03\xe8", Some(1000)), (b"\x0f\xa0bye", Some(4000))] {
            assert_eq!(all(&masked(0x88, payload), 3).2, Some(Ok(answer)));
        }
        assert_eq!(close(None, "unsaid"), b"");
        assert_eq!(close(Some(1009), "too large"), b"\x03\xf1too large");
        assert_eq!(close(Some(1008), &"ä".repeat(100)).len(), 124);
    }

    #[test]
    fn a_frame_of_four_gigabytes_is_read_as_it_comes_and_none_of_it_is_held() {
        let mut frames = Frames::default();
        let mut begin = [&[0x82, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], b"MQTT"].concat();
        let taken = frames.take(&mut begin);
        assert_eq!((taken.payload, &begin[..4]), (4, &b"MQTT"[..]));
        assert!(frames.is_half_read() && frames.control.capacity() == 0);
    }
}
