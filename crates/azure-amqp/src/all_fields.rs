//! Writes every field of each performative. AMQP lets a peer leave out fields at the end of a list, and the AMQP library does so.
//! Azure's SDK for Python (pyamqp) reads the fields without checking that they are present.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::session_windows::{SessionWindows, WrittenTransfers};

/// Size, offset of the body in words, type, channel.
const FRAME_HEADER: usize = 8;
const NULL: u8 = 0x40;
const LIST_0: u8 = 0x45;
const LIST_8: u8 = 0xc0;
const LIST_32: u8 = 0xd0;

/// A stream whose writer passes whole AMQP 1.0 frames, in pieces of any size.
#[derive(Debug)]
pub(crate) struct AllFields<S> {
    stream: S,
    /// The beginning of a frame that is not complete yet.
    partial: BytesMut,
    /// Bytes that are not written yet. No new bytes are accepted before they are.
    out: BytesMut,
    transfers: WrittenTransfers,
}

impl<S> AllFields<S> {
    pub(crate) fn new(stream: S, windows: SessionWindows) -> Self {
        Self { stream, partial: BytesMut::new(), out: BytesMut::new(), transfers: WrittenTransfers::new(windows) }
    }

    fn complete(&mut self, mut bytes: &[u8]) {
        if self.partial.is_empty() {
            while let Some((frame, rest)) = size(bytes).and_then(|size| bytes.split_at_checked(size)) {
                self.pass(frame);
                bytes = rest;
            }
        }
        self.partial.extend_from_slice(bytes);
        while let Some(size) = size(&self.partial).filter(|size| *size <= self.partial.len()) {
            let frame = self.partial.split_to(size);
            self.pass(&frame);
        }
    }

    fn pass(&mut self, frame: &[u8]) {
        self.transfers.written(frame);
        if !fill(frame, &mut self.out) {
            self.out.extend_from_slice(frame);
        }
    }
}

/// The number of bytes of the frame or protocol header that begins here. Returns `None` if there are too few bytes to tell.
fn size(bytes: &[u8]) -> Option<usize> {
    let (first, _) = bytes.split_first_chunk::<4>()?;
    match first {
        b"AMQP" => Some(8),
        // A frame is never shorter than its header, so the loop of the caller always advances.
        size => usize::try_from(u32::from_be_bytes(*size)).ok().map(|size| size.max(FRAME_HEADER)),
    }
}

/// How many fields a performative has.
fn fields(code: u8) -> Option<usize> {
    // open, begin, attach, flow, transfer, disposition, detach, end, close
    [10, 8, 14, 11, 11, 6, 3, 1, 1].get(usize::from(code.checked_sub(0x10)?)).copied()
}

/// Writes the frame with its missing fields. Returns `false` and writes nothing if no field is missing.
fn fill(frame: &[u8], out: &mut BytesMut) -> bool {
    let filled = || {
        let (header, body) = frame.split_at_checked(FRAME_HEADER)?;
        let [_, _, _, _, 2, 0, ..] = header else { return None };
        let [0x00, 0x53, code, kind, list @ ..] = body else { return None };
        let field_count = fields(*code)?;
        let (count, items, after) = match (*kind, list) {
            (LIST_0, after) => (0, &[][..], after),
            (LIST_8, [size, count, rest @ ..]) => {
                let (items, after) = rest.split_at_checked(usize::from(*size).checked_sub(1)?)?;
                (usize::from(*count), items, after)
            }
            (LIST_32, list) => {
                let (mut numbers, rest) = list.split_at_checked(8)?;
                let (size, count) = (numbers.get_u32(), numbers.get_u32());
                let (items, after) = rest.split_at_checked(usize::try_from(size).ok()?.checked_sub(4)?)?;
                (usize::try_from(count).ok()?, items, after)
            }
            _ => return None,
        };
        Some((header, *code, items, after, field_count, field_count.checked_sub(count).filter(|missing| *missing > 0)?))
    };
    let Some((header, code, items, after, field_count, missing)) = filled() else { return false };
    let list = items.len() + missing;
    // The list keeps its short form where that is possible.
    let (short, numbers) = match (u8::try_from(list + 1), u8::try_from(field_count)) {
        (Ok(size), Ok(field_count)) => (Some((size, field_count)), 3),
        _ => (None, 9),
    };
    let size = FRAME_HEADER + 3 + numbers + list + after.len();
    out.reserve(size);
    out.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
    out.extend_from_slice(header.get(4..).unwrap_or_default());
    out.extend_from_slice(&[0x00, 0x53, code]);
    match short {
        Some((size, field_count)) => out.extend_from_slice(&[LIST_8, size, field_count]),
        None => {
            out.put_u8(LIST_32);
            out.put_u32(u32::try_from(list + 4).unwrap_or(u32::MAX));
            out.put_u32(u32::try_from(field_count).unwrap_or(u32::MAX));
        }
    }
    out.extend_from_slice(items);
    out.put_bytes(NULL, missing);
    out.extend_from_slice(after);
    true
}

impl<S: AsyncWrite + Unpin> AllFields<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AllFields<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        self.complete(bytes);
        // Bytes that remain here are written before the next piece, or by a flush.
        match self.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AllFields<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::{
        definitions::Handle,
        performatives::{Close, Detach, Performative, Transfer},
    };
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn frame(performative: &Performative, payload: &[u8]) -> Vec<u8> {
        let body = serde_amqp::to_vec(performative).unwrap();
        let size = u32::try_from(FRAME_HEADER + body.len() + payload.len()).unwrap();
        [&size.to_be_bytes()[..], &[2, 0, 0, 7], &body, payload].concat()
    }

    fn transfer() -> Performative {
        Performative::Transfer(Transfer {
            handle: Handle(3),
            delivery_id: Some(1),
            delivery_tag: Some(vec![1, 2].into()),
            message_format: Some(0),
            settled: Some(false),
            more: true,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        })
    }

    /// The output for `bytes`, written in pieces of this size.
    async fn written(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut stream = AllFields::new(Vec::new(), SessionWindows::default());
        for piece in bytes.chunks(piece) {
            stream.write_all(piece).await.unwrap();
        }
        stream.flush().await.unwrap();
        stream.stream
    }

    #[tokio::test]
    async fn every_frame_has_all_its_fields_and_says_the_same() {
        let detach = Performative::Detach(Detach { handle: Handle(3), closed: true, error: None });
        let close = Performative::Close(Close { error: None });
        let long = vec![0xaa; 5_000];
        let given = [b"AMQP\0\x01\0\0".to_vec(), frame(&detach, &[]), frame(&transfer(), &long), frame(&close, &[])];
        let heartbeat = [0, 0, 0, 8, 2, 0, 0, 0];
        let given = [given.concat(), heartbeat.to_vec()].concat();
        let out = written(&given, 1).await;
        for piece in [7, 4_096, given.len()] {
            assert_eq!(written(&given, piece).await, out);
        }
        let mut rest = &out[8..];
        let mut found = Vec::new();
        while let Some(size) = size(rest) {
            let (frame, after) = rest.split_at(size);
            rest = after;
            found.push(frame.to_vec());
        }
        let counts: Vec<_> = found.iter().map(|frame| frame.get(13).copied()).collect();
        assert_eq!(counts, [Some(3), Some(11), Some(1), None]);
        let read = |frame: &[u8]| serde_amqp::from_slice::<Performative>(&frame[FRAME_HEADER..]).unwrap();
        assert!(matches!(read(&found[0]), Performative::Detach(Detach { closed: true, error: None, .. })));
        assert!(matches!(read(&found[1]), Performative::Transfer(Transfer { more: true, .. })));
        assert!(found[1].ends_with(&long));
        assert_eq!(found[3], heartbeat);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_passed_on() {
        for bytes in [
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0][..],
            &[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x16, LIST_8],
        ] {
            assert_eq!(written(bytes, bytes.len()).await, bytes);
        }
    }
}
