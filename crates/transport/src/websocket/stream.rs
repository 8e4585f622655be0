//! A WebSocket of the host as a stream of bytes: binary messages, cut and joined however the client likes. The upgrade was done before.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, Failure, Frames, status};

/// The most that is put into one frame, bytes.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Why nothing more is read.
#[derive(Debug, Clone, Copy)]
enum ReadEnd {
    Closed,
    Failed(Failure),
}

/// Holds no more than one frame to write, and what a control frame has.
#[derive(Debug)]
pub struct WebSocketStream<S> {
    stream: S,
    frames: Frames,
    /// Frames that are not written yet.
    out: BytesMut,
    read_end: Option<ReadEnd>,
    /// The host's close frame was written, or waits in `out`.
    closed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self { stream, frames: Frames::default(), out: BytesMut::new(), read_end: None, closed: false }
    }

    fn put_close(&mut self, status: Option<u16>, text: &str) {
        if !std::mem::replace(&mut self.closed, true) {
            frames::put(frames::CLOSE, &frames::close(status, text), &mut self.out);
        }
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        // An idle connection holds no buffer.
        self.out = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Reads once, and decodes in place. Returns how much payload came, or `None` if the client has closed the connection.
    fn poll_frames(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<Option<usize>>> {
        let free = to.initialize_unfilled();
        let mut raw = ReadBuf::new(free);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut raw))?;
        let bytes = raw.filled_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let decoded = self.frames.take(bytes);
        to.advance(decoded.payload);
        if let Some(ping) = decoded.ping.filter(|_| !self.closed) {
            frames::put(frames::PONG, &ping, &mut self.out);
        }
        match decoded.end {
            Some(Ok(status)) => {
                self.put_close(status, "");
                self.read_end = Some(ReadEnd::Closed);
            }
            Some(Err(failure)) => {
                self.put_close(Some(failure.status), failure.text);
                self.read_end = Some(ReadEnd::Failed(failure));
            }
            None => {}
        }
        Poll::Ready(Ok(Some(decoded.payload)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            // Pongs: a client that reads none of them is not read.
            ready!(self.poll_out(cx))?;
            match self.read_end {
                Some(ReadEnd::Closed) => return Poll::Ready(Ok(())),
                Some(ReadEnd::Failed(failure)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, failure)));
                }
                None => {}
            }
            match ready!(self.poll_frames(cx, to))? {
                Some(0) => {}
                Some(_) | None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = bytes.get(..bytes.len().min(MESSAGE_BYTES)).unwrap_or_default();
        frames::put(frames::BINARY, bytes, &mut self.out);
        // What is not written now is written before the next bytes are taken.
        if let Poll::Ready(Err(error)) = self.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.put_close(Some(status::NORMAL), "");
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Masked with nothing, which is a mask, too.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat()
    }

    #[tokio::test]
    async fn messages_are_one_stream_and_pings_are_answered() {
        let (mut client, host) = tokio::io::duplex(1024);
        let mut host = WebSocketStream::new(host);
        let sent =
            [frame(0x02, b"AM"), frame(0x89, b"there?"), frame(0x80, b"QP"), frame(0x88, &1000_u16.to_be_bytes())];
        client.write_all(&sent.concat()).await.unwrap();
        let mut received = Vec::new();
        host.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"AMQP");
        assert!(host.write_all(b"late").await.is_err());
        drop(host);
        let mut answered = Vec::new();
        client.read_to_end(&mut answered).await.unwrap();
        assert_eq!(answered, b"\x8a\x06there?\x88\x02\x03\xe8");
    }

    #[tokio::test]
    async fn what_is_written_comes_in_messages_and_what_is_wrong_ends_it() {
        let (mut client, host) = tokio::io::duplex(150);
        let mut host = WebSocketStream::new(host);
        let reads = async {
            let mut received = vec![0; 4 + 200 + 4];
            client.read_exact(&mut received).await.unwrap();
            client.write_all(&frame(0x81, b"text")).await.unwrap();
            (received, client)
        };
        let writes = async {
            host.write_all(&[7; 200]).await.unwrap();
            host.write_all(b"AM").await.unwrap();
            host.flush().await.unwrap();
            host.read_u8().await.unwrap_err()
        };
        let ((received, _client), error) = tokio::join!(reads, writes);
        assert_eq!(received[..4], [0x82, 126, 0, 200]);
        assert_eq!(received[204..], [0x82, 2, b'A', b'M']);
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
