//! Limits the threads that compute for handshakes to half of the cores. The other cores serve connected clients.

use std::{future::poll_fn, pin::pin, sync::Arc, task::ready};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio_util::sync::PollSemaphore;

pub(super) struct HandshakePermits(Arc<Semaphore>);

impl HandshakePermits {
    pub(super) fn of_half_the_cores() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::of((cores / 2).max(1))
    }

    fn of(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads)))
    }

    /// Held while something is computed, and never while a client is waited for.
    pub(super) async fn take(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.0.acquire().await
    }

    /// Lets the handshake compute only while it holds a permit. It holds no permit while it waits for its client.
    pub(super) async fn run<T>(&self, handshake: impl Future<Output = T>) -> T {
        let mut permits = PollSemaphore::new(self.0.clone());
        let mut handshake = pin!(handshake);
        poll_fn(|cx| {
            let _permit = ready!(permits.poll_acquire(cx));
            handshake.as_mut().poll(cx)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_handshake_computes_with_a_permit_and_holds_none_while_it_waits_for_its_client() {
        let permits = HandshakePermits::of(1);
        let (speak, client) = tokio::sync::oneshot::channel();
        let mut handshake = pin!(permits.run(client));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(handshake.as_mut().poll(&mut cx).is_pending());
        let others = permits.0.try_acquire().expect("it holds a permit though its client says nothing");
        speak.send(()).unwrap();
        assert!(handshake.as_mut().poll(&mut cx).is_pending(), "another one holds the permit");
        drop(others);
        assert!(handshake.as_mut().poll(&mut cx).is_ready());
    }
}
