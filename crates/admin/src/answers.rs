//! Limits the answers to reading calls in memory: those being created, and large ones that their callers have not read yet. A
//! connection that does not read is closed; until then it holds one permit.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use switchbox_model::limits;

/// How long a call waits for a permit.
const WAIT: Duration = Duration::from_secs(5);
/// An answer goes to the connection in slices of this size; a slice stays in memory until it is sent.
const SLICE_BYTES: usize = 64 * 1024;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LargeAnswers {
    all: Arc<Semaphore>,
    /// The permits of each token, by its name.
    of_token: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
    wait: Duration,
}

/// The permit of one answer.
#[derive(Debug)]
pub(super) struct AnswerPermit(#[allow(dead_code, reason = "held")] [OwnedSemaphorePermit; 2]);

/// All permits are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many large answers were asked for and not read yet; read them, or ask again later")]
pub(super) struct TooManyAnswers;

impl TooManyAnswers {
    /// When the caller may try again.
    pub(super) const RETRY: Duration = WAIT;
}

impl Default for LargeAnswers {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(limits::ADMIN_ANSWERS)), of_token: Arc::default(), wait: WAIT }
    }
}

impl LargeAnswers {
    /// Waits for a permit for a caller, up to a deadline.
    pub(super) async fn acquire_permit(&self, token: &str) -> Result<AnswerPermit, TooManyAnswers> {
        let own = self.of(token);
        let both =
            async { Ok::<_, TooManyAnswers>(AnswerPermit([acquire(own).await?, acquire(self.all.clone()).await?])) };
        timeout(self.wait, both).await.unwrap_or(Err(TooManyAnswers))
    }

    fn of(&self, token: &str) -> Arc<Semaphore> {
        let mut all = self.of_token.lock();
        if all.len() > limits::ADMIN_TOKENS {
            // The semaphore of a token that holds no permit is dropped and created again when it is needed.
            all.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = || Arc::new(Semaphore::new(limits::ADMIN_ANSWERS_PER_TOKEN));
        all.entry(token.to_owned()).or_insert_with(places).clone()
    }
}

async fn acquire(places: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, TooManyAnswers> {
    places.acquire_owned().await.map_err(|_| TooManyAnswers)
}

/// The answer, which holds its permit until it is sent, if it is large. Streams have separate limits.
pub(super) fn with_permit(permit: AnswerPermit, answer: Response) -> Response {
    let large = answer.body().size_hint().exact().is_some_and(|bytes| bytes > limits::ADMIN_SMALL_ANSWER_BYTES as u64);
    if !large {
        return answer;
    }
    answer.map(|body| Body::new(SlicedBody { body, rest: Bytes::new(), _permit: permit }))
}

/// A body that is given to the connection in slices, so that the permit is held until the last slice is sent.
struct SlicedBody {
    body: Body,
    rest: Bytes,
    _permit: AnswerPermit,
}

impl hyper::body::Body for SlicedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let bytes = self.rest.len().min(SLICE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64 + self.body.size_hint().exact().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn one_token_has_half_of_the_places_and_small_answers_hold_none() {
        let answers = LargeAnswers { wait: Duration::from_millis(10), ..LargeAnswers::default() };
        let mut held = Vec::new();
        for _ in 0..limits::ADMIN_ANSWERS_PER_TOKEN {
            let large = Response::new(Body::from(vec![b'x'; limits::ADMIN_SMALL_ANSWER_BYTES + 1]));
            held.push(with_permit(answers.acquire_permit("a").await.unwrap(), large));
        }
        assert_eq!(answers.acquire_permit("a").await.unwrap_err(), TooManyAnswers);
        let small = with_permit(answers.acquire_permit("b").await.unwrap(), Response::new(Body::from("small")));
        assert_eq!(answers.all.available_permits(), limits::ADMIN_ANSWERS_PER_TOKEN);
        drop(small);
        let read = held.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(read.len(), limits::ADMIN_SMALL_ANSWER_BYTES + 1);
        assert!(answers.acquire_permit("a").await.is_ok());
    }
}
