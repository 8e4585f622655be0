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

/// The rest of a longer body is not read, and its connection ends.
const REST_BYTES: usize = 4 * 1024 * 1024;
/// How long the rest may take.
const REST_TIME: Duration = Duration::from_secs(10);

/// A body whose rest is read when it is dropped.
pub(super) struct WithRestDiscarded(Option<Incoming>);

impl WithRestDiscarded {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for WithRestDiscarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        // Nothing is left after the end, nor after an error.
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for WithRestDiscarded {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        if let Ok(runtime) = Handle::try_current() {
            // Supervision: it ends with its connection, and harms nothing else.
            drop(runtime.spawn(tokio::time::timeout(REST_TIME, discard(body))));
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > REST_BYTES {
            return;
        }
    }
}
