//! Measures a guest's CPU time over any number of polls, and whether its budget is used up. Time in which the task waits in the
//! executor or for a device does not count.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Measures the calls of one instance. Shared by the call's future and by the epoch callback inside it.
#[derive(Debug)]
pub(super) struct Meter {
    origin: Instant,
    /// Nanoseconds of earlier polls of this call.
    computed: AtomicU64,
    /// When the current poll started, nanoseconds since `origin`.
    poll_began: AtomicU64,
    /// When the last poll ended, nanoseconds since `origin`.
    poll_ended: AtomicU64,
    /// Nanoseconds that the guest slept in this call.
    slept: AtomicU64,
    /// Nanoseconds of computing and sleeping that the call may use.
    budget: AtomicU64,
    /// Nanoseconds of all sleeps of the instance, by the guest's own clock.
    passed: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            computed: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            poll_ended: AtomicU64::new(0),
            slept: AtomicU64::new(0),
            budget: AtomicU64::new(0),
            passed: AtomicU64::new(0),
        }
    }

    /// Starts a new call.
    pub(super) fn begin(&self, budget: Duration) {
        self.computed.store(0, Relaxed);
        self.slept.store(0, Relaxed);
        self.budget.store(nanos(budget), Relaxed);
    }

    fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    /// What remains of the budget. Called from inside a poll.
    pub(super) fn remaining(&self) -> Duration {
        let polling = self.now().saturating_sub(self.poll_began.load(Relaxed));
        let used = self.computed.load(Relaxed) + self.slept.load(Relaxed) + polling;
        Duration::from_nanos(self.budget.load(Relaxed).saturating_sub(used))
    }

    /// The guest slept: `slept` by the host's clock, `passed` by its own.
    pub(super) fn add_sleep(&self, slept: Duration, passed: Duration) {
        self.slept.fetch_add(nanos(slept), Relaxed);
        self.passed.fetch_add(nanos(passed), Relaxed);
    }

    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Relaxed)
    }

    pub(super) fn computed(&self) -> Duration {
        Duration::from_nanos(self.computed.load(Relaxed))
    }

    /// When the last poll ended.
    pub(super) fn ended(&self) -> Instant {
        self.origin + Duration::from_nanos(self.poll_ended.load(Relaxed))
    }

    pub(super) fn slept(&self) -> Duration {
        Duration::from_nanos(self.slept.load(Relaxed))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A call into a guest, which `sandbox::arm` prepared. Its polls are measured.
pub(super) struct Metered<'a, F> {
    pub(super) meter: &'a Meter,
    pub(super) call: Pin<&'a mut F>,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = self.meter.now();
        self.meter.poll_began.store(began, Relaxed);
        let result = self.call.as_mut().poll(context);
        let ended = self.meter.now();
        self.meter.poll_ended.store(ended, Relaxed);
        self.meter.computed.fetch_add(ended.saturating_sub(began), Relaxed);
        result
    }
}
