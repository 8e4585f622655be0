//! A stream that passes on only frames that [`FrameCheck`] has accepted.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::{
    authorization::ConnectionAuth,
    frame_check::{FrameCheck, WrongFrame},
    sasl::AMQP_HEADER,
    session_windows::SessionWindows,
};
use switchbox_model::limits::names;
use switchbox_support::metrics::Metrics;

/// Bytes that are read at a time.
const CHUNK: usize = 4_096;

/// A stream after SASL. It is closed at the first refused frame.
#[derive(Debug)]
pub(crate) struct CheckedFrames<S> {
    stream: S,
    check: FrameCheck,
    auth: ConnectionAuth,
    metrics: Metrics,
    windows: SessionWindows,
    /// Whether the protocol header, which precedes the first frame, was read.
    is_header_read: bool,
    /// Bytes that were read and not checked yet: less than a frame and a chunk.
    read: BytesMut,
    /// Bytes at the beginning of `read` that may be passed on.
    checked: usize,
}

impl<S> CheckedFrames<S> {
    /// `early`: the bytes of the stream that were already read.
    pub(crate) fn new(
        stream: S,
        auth: ConnectionAuth,
        metrics: Metrics,
        windows: SessionWindows,
        early: &[u8],
    ) -> Self {
        let (check, read) = (FrameCheck::default(), BytesMut::from(early));
        Self { stream, check, auth, metrics, windows, is_header_read: false, read, checked: 0 }
    }

    /// Checks the next frame if it is complete.
    fn advance(&mut self) -> Result<(), WrongFrame> {
        if !self.is_header_read {
            if self.read.len() >= AMQP_HEADER.len() {
                // The library refuses another header.
                self.is_header_read = true;
                self.checked = AMQP_HEADER.len();
            }
            return Ok(());
        }
        if let Some(size) = FrameCheck::size(&self.read)?
            && let Some(frame) = self.read.get(..size)
        {
            if let Some(performative) = self.check.check(frame, self.auth.is_authenticated())? {
                self.windows.received(&performative);
            }
            self.checked = size;
        }
        Ok(())
    }

    fn refuse(&self, wrong: WrongFrame) -> io::Error {
        self.metrics.limit(names::HUB_AMQP_FRAMES);
        io::Error::new(io::ErrorKind::InvalidData, wrong)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CheckedFrames<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.checked > 0 {
                let size = self.checked.min(into.remaining());
                into.put_slice(self.read.get(..size).unwrap_or_default());
                self.read.advance(size);
                self.checked -= size;
                if self.read.is_empty() {
                    // An idle connection keeps no buffer.
                    self.read = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if let Err(wrong) = self.advance() {
                return Poll::Ready(Err(self.refuse(wrong)));
            }
            if self.checked > 0 {
                continue;
            }
            self.read.reserve(CHUNK);
            let this = &mut *self;
            if ready!(poll_read_buf(Pin::new(&mut this.stream), cx, &mut this.read))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CheckedFrames<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::authorization::TlsClient;

    #[tokio::test]
    async fn frames_come_as_they_are_up_to_the_first_wrong_one() {
        let heartbeat = [0, 0, 0, 8, 2, 0, 0, 0];
        let end = [0, 0, 0, 12, 2, 0, 0, 1, 0, 0x53, 0x17, 0x45];
        let right = [&AMQP_HEADER[..], &heartbeat, &end, &heartbeat].concat();
        let wrong = [0, 0, 0, 7, 2, 0, 0];
        for (piece, early) in [(1, 0), (5, 8), (right.len(), 0)] {
            for (given, outcome) in [(right.clone(), Ok(right.len())), ([&right[..], &wrong].concat(), Err(()))] {
                let (early, given) = (given[..early].to_vec(), given[early..].to_vec());
                let (mut client, server) = duplex(piece);
                let reading = async move {
                    let mut read = Vec::new();
                    let auth = ConnectionAuth::new(Ipv4Addr::LOCALHOST.into(), TlsClient::default());
                    let mut frames =
                        CheckedFrames::new(server, auth, Metrics::default(), SessionWindows::default(), &early);
                    let outcome = frames.read_to_end(&mut read).await;
                    (outcome.map_err(drop), read)
                };
                let writing = async move {
                    // Ends early if the reader does.
                    let _ = client.write_all(&given).await;
                };
                let (read, ()) = tokio::join!(reading, writing);
                assert_eq!(read, (outcome, right.clone()));
            }
        }
    }
}
