//! Collects small writes. The AMQP library flushes after each frame, which would be a system call and, with TLS, a record for every
//! event. A flush is deferred here until the library has nothing more to write. The library reads whenever it is idle, so a read
//! writes what was collected if nothing was added since the read before.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are collected before they are written in any case.
const HELD_BYTES: usize = 16 * 1024;

/// A stream that is read and written by one task.
#[derive(Debug)]
pub(crate) struct CollectedWrites<S> {
    stream: S,
    out: BytesMut,
    /// Bytes were added since the last read.
    has_new: bool,
    /// Bytes were written to the stream, which was not flushed after them.
    is_unflushed: bool,
}

impl<S: AsyncWrite + Unpin> CollectedWrites<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, out: BytesMut::new(), has_new: false, is_unflushed: false }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.is_unflushed = true;
        }
        // An idle connection keeps no buffer.
        self.out = BytesMut::new();
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for CollectedWrites<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if std::mem::take(&mut this.has_new) {
            // Tasks that are ready to write go first. The next read sends, whether they did or not.
            cx.waker().wake_by_ref();
        } else if (!this.out.is_empty() || this.is_unflushed)
            && let Poll::Ready(Err(error)) = this.poll_send(cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut this.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CollectedWrites<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() >= HELD_BYTES {
            ready!(self.poll_send(cx))?;
        }
        self.out.extend_from_slice(bytes);
        self.has_new = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.len() >= HELD_BYTES { self.poll_send(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    #[tokio::test]
    async fn what_is_flushed_leaves_at_a_read_and_at_the_end() {
        let (mut client, server) = duplex(HELD_BYTES);
        let mut stream = CollectedWrites::new(server);
        for piece in [&b"one"[..], b"two"] {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
        }
        assert_eq!(stream.out.len(), 6, "nothing is written before a read");
        let reading = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            stream.write_all(&byte).await.unwrap();
            stream.shutdown().await.unwrap();
        }));
        let mut got = [0; 6];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"onetwo");
        client.write_all(b"!").await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"!");
        reading.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_stops_the_writer() {
        let (client, server) = duplex(1_024);
        let mut stream = CollectedWrites::new(server);
        let written = async {
            let mut frames = 0;
            loop {
                stream.write_all(&[0; 128]).await.unwrap();
                frames += 1;
                assert!(frames * 128 <= 1_024 + 2 * HELD_BYTES, "it holds {frames} frames");
            }
        };
        tokio::select! {
            biased;
            () = written => {}
            () = tokio::task::yield_now() => {}
        }
        drop(client);
    }
}
