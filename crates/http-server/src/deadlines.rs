//! How long a client may be slow: with the rest of a body, and with reading what is sent to it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use switchbox_model::limits::LimitName;
use switchbox_support::{metrics::Metrics, threads};

/// How long a client may leave what is sent to it unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body may take, however small it is.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// After that time, a body must have come at this many bytes a second.
const BODY_BYTES_PER_SECOND: usize = switchbox_model::limits::ADMIN_BODY_BYTES_PER_SECOND;

/// A stream that fails when it takes nothing for too long.
pub(super) struct WithWriteDeadline<T> {
    stream: T,
    /// Whether the last bytes of the connection came from the client, and nothing was sent since.
    unanswered: Arc<AtomicBool>,
    timeout: Duration,
    metrics: Metrics,
    limit: LimitName,
    /// There while the stream takes nothing.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl<T> WithWriteDeadline<T> {
    pub(super) fn new(stream: T, metrics: Metrics, limit: LimitName) -> Self {
        Self { stream, unanswered: Arc::default(), timeout: WRITE_TIMEOUT, metrics, limit, blocked: None }
    }

    /// Whether bytes have come to which nothing was sent. False for a connection between two calls.
    pub(super) fn unanswered(&self) -> Arc<AtomicBool> {
        self.unanswered.clone()
    }

    /// A flush, which also comes while nothing is sent, is no answer.
    fn answers(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.unanswered.store(false, Ordering::Relaxed);
        }
    }

    fn judge<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let timeout = self.timeout;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(blocked.as_mut().poll(cx));
        self.metrics.limit(self.limit);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WithWriteDeadline<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, to);
        if to.filled().len() > before {
            self.unanswered.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WithWriteDeadline<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.answers(&written);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.answers(&written);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

/// A call's body that fails when it comes too slowly.
struct BodyDeadline {
    body: Body,
    metrics: Metrics,
    limit: LimitName,
    /// What it may take however small it is.
    timeout: Duration,
    began: Instant,
    came_bytes: usize,
    /// When the next bytes must have come.
    sleep: Pin<Box<Sleep>>,
}

/// Wraps the body so that it fails when it takes too long. The failure is counted as `limit`.
pub fn with_body_deadline(body: Body, metrics: &Metrics, limit: LimitName) -> Body {
    if body.is_end_stream() { body } else { Body::new(BodyDeadline::new(body, BODY_TIMEOUT, metrics.clone(), limit)) }
}

impl BodyDeadline {
    fn new(body: Body, timeout: Duration, metrics: Metrics, limit: LimitName) -> Self {
        let sleep = Box::pin(tokio::time::sleep(timeout));
        Self { body, metrics, limit, timeout, began: Instant::now(), came_bytes: 0, sleep }
    }
}

/// How long a body may take of which this many bytes have been received.
fn allowance(timeout: Duration, came_bytes: usize) -> Duration {
    timeout + Duration::from_secs((came_bytes / BODY_BYTES_PER_SECOND) as u64)
}

impl hyper::body::Body for BodyDeadline {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            threads::yield_if_due_at(std::time::Instant::now());
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
            self.came_bytes += bytes.map_or(0, Bytes::len);
            let until = self.began + allowance(self.timeout, self.came_bytes);
            if frame.is_none() || Instant::now() < until {
                self.sleep.as_mut().reset(until);
                return Poll::Ready(frame);
            }
        } else {
            ready!(self.sleep.as_mut().poll(cx));
        }
        self.metrics.limit(self.limit);
        let slow = io::Error::new(io::ErrorKind::TimedOut, "the body came too slowly");
        Poll::Ready(Some(Err(axum::Error::new(slow))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use switchbox_model::limits::names::{ADMIN_BODY_TIME, ADMIN_WRITE_TIME};

    const SHORT: Duration = Duration::from_millis(20);

    fn hits(metrics: &Metrics, limit: LimitName) -> u64 {
        metrics.limit_hits(limit)
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_disconnected() {
        let metrics = Metrics::default();
        let (mut client, host) = tokio::io::duplex(10);
        let mut host =
            WithWriteDeadline { timeout: SHORT, ..WithWriteDeadline::new(host, metrics.clone(), ADMIN_WRITE_TIME) };
        host.write_all(&[0; 10]).await.unwrap();
        client.read_exact(&mut [0; 10]).await.unwrap();
        assert_eq!(host.write_all(&[0; 11]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(hits(&metrics, ADMIN_WRITE_TIME), 1);
    }

    #[tokio::test]
    async fn only_what_was_not_answered_counts_as_such() {
        let (mut client, host) = tokio::io::duplex(10);
        let mut host = WithWriteDeadline::new(host, Metrics::default(), ADMIN_WRITE_TIME);
        let unanswered = host.unanswered();
        let mut now = Vec::new();
        let mut look = || now.push(unanswered.load(Ordering::Relaxed));
        look();
        client.write_all(b"GET").await.unwrap();
        host.read_exact(&mut [0; 3]).await.unwrap();
        host.flush().await.unwrap();
        look();
        host.write_all(b"200").await.unwrap();
        look();
        drop(client);
        assert_eq!(host.read(&mut [0; 3]).await.unwrap(), 0);
        look();
        assert_eq!(now, [false, true, false, false]);
    }

    /// A body without end that yields one byte after each pause.
    struct Trickle(Pin<Box<Sleep>>);

    impl hyper::body::Body for Trickle {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            ready!(self.0.as_mut().poll(cx));
            self.0.as_mut().reset(Instant::now() + Duration::from_millis(1));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn a_body_that_arrives_too_slowly_is_refused() {
        let metrics = Metrics::default();
        // Sleeps between two drops.
        let trickle = Body::new(Trickle(Box::pin(tokio::time::sleep(Duration::ZERO))));
        let body = BodyDeadline::new(trickle, SHORT, metrics.clone(), ADMIN_BODY_TIME);
        assert!(body.collect().await.is_err());
        assert_eq!(hits(&metrics, ADMIN_BODY_TIME), 1);
    }

    #[test]
    fn a_large_body_may_take_longer() {
        assert_eq!(allowance(BODY_TIMEOUT, 0), BODY_TIMEOUT);
        let mib = allowance(BODY_TIMEOUT, 1024 * 1024);
        assert_eq!(mib, BODY_TIMEOUT + Duration::from_secs(64));
    }
}
