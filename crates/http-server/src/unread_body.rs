//! What a call leaves unread of its body is read and thrown away, within limits. Otherwise hyper would close the connection if the body had
//! not come yet when the answer was made, and the client's next call on it would be lost.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Error,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
};
use tokio::runtime::Handle;

use super::bounds::Names;
use switchbox_model::limits;
use switchbox_support::metrics::Metrics;

/// How long the rest may take.
const REST_TIME: Duration = Duration::from_secs(10);

/// A body whose rest is read when it is dropped.
pub(super) struct WithRestDiscarded {
    /// `None` once it has ended.
    body: Option<Incoming>,
    metrics: Metrics,
    names: Names,
}

impl WithRestDiscarded {
    pub(super) fn new(body: Incoming, metrics: Metrics, names: Names) -> Self {
        Self { body: Some(body), metrics, names }
    }
}

impl Body for WithRestDiscarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        // Nothing is left after the end, nor after an error.
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for WithRestDiscarded {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        if let Ok(runtime) = Handle::try_current() {
            // Supervision: it ends with its connection, and harms nothing else.
            drop(runtime.spawn(discard(body, self.metrics.clone(), self.names)));
        }
    }
}

/// Reads the rest. The connection of one that is too large, or too slow, ends.
async fn discard(mut body: impl Body<Data = Bytes> + Unpin, metrics: Metrics, names: Names) {
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > limits::HTTP_UNREAD_BYTES {
                return metrics.limit(names.unread_bytes);
            }
        }
    };
    if tokio::time::timeout(REST_TIME, read).await.is_err() {
        metrics.limit(names.unread_time);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;

    use super::*;

    /// A body of which nothing comes.
    struct Stalled;

    impl Body for Stalled {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_is_not_read_to_its_end_is_counted() {
        let metrics = Metrics::default();
        let hits = || [Names::ADMIN.unread_bytes, Names::ADMIN.unread_time].map(|limit| metrics.limit_hits(limit));
        let full = |bytes| Full::new(Bytes::from(vec![0; bytes]));
        discard(full(limits::HTTP_UNREAD_BYTES), metrics.clone(), Names::ADMIN).await;
        assert_eq!(hits(), [0, 0]);
        discard(full(limits::HTTP_UNREAD_BYTES + 1), metrics.clone(), Names::ADMIN).await;
        assert_eq!(hits(), [1, 0]);
        discard(Stalled, metrics.clone(), Names::ADMIN).await;
        assert_eq!(hits(), [1, 1]);
    }
}
