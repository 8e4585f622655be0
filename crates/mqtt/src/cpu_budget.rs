//! Compares what a client uses with its share: the processor time of each piece of its work, and the bytes that it writes to the disk. A
//! client that uses more than its share is in debt, which becomes less with time. A client deep in debt is served in the background until
//! it has none.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use rustix::time::{ClockId, clock_gettime};

use switchbox_model::limits::{PROCESSOR_BURST, PROCESSOR_SHARE};
use switchbox_store::QueueShare;
use switchbox_support::threads;

/// A piece of work that takes no longer delays no other client noticeably.
const SHORT: Duration = Duration::from_micros(50);
/// The factor by which a longer piece of work counts.
const LONG_WEIGHT: u32 = 3;
/// One piece of work counts as this long at most: longer work was probably interrupted.
const MAX_PIECE: Duration = Duration::from_millis(1);
/// Bytes for the disk that count like a millisecond of processor time.
const BYTES_PER_MS: usize = 64 * 1024;
/// Bytes that take the disk longer than a commit of small events does.
const LARGE_BYTES: usize = 32 * 1024;
/// How long the background leaves the disk to the foreground before each [`LARGE_BYTES`], so that it writes 32 MiB a second.
const BACK_OFF: Duration = Duration::from_millis(1);
/// The largest debt: after this long without work, every client is without debt.
const MAX_DEBT: Duration = Duration::from_millis(500);

/// Whose threads a client is served on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PriorityClass {
    Foreground,
    Background,
}

impl PriorityClass {
    /// How much of the journal's queue the clients of this class may fill.
    pub(crate) fn queue_share(self) -> QueueShare {
        match self {
            Self::Foreground => QueueShare::Whole,
            Self::Background => QueueShare::Bounded,
        }
    }

    /// In the background, leaves the disk to an active foreground before this many bytes are written. The caller has its permit, so that
    /// all clients of the background together write no faster.
    pub(crate) async fn leave_disk(self, bytes: usize) {
        let back_off = BACK_OFF * u32::try_from(bytes / LARGE_BYTES).unwrap_or(u32::MAX);
        if self == Self::Background && !back_off.is_zero() && threads::has_foreground(Instant::now()) {
            tokio::time::sleep(back_off).await;
        }
    }
}

/// A client's debt, over all of its connections. One millisecond of work adds a debt of [`PROCESSOR_SHARE`] milliseconds.
#[derive(Debug)]
pub(crate) struct CpuBudget {
    created_at: Instant,
    /// When nothing is left of the debt, in nanoseconds after `created_at`.
    settled_ns: AtomicU64,
}

impl CpuBudget {
    /// A new client begins in the background and has to show that it uses little; otherwise many new clients would count as much as
    /// one heavy one.
    #[must_use]
    pub(crate) fn new(now: Instant) -> Self {
        Self { created_at: now, settled_ns: AtomicU64::new(ns(PROCESSOR_BURST * PROCESSOR_SHARE)) }
    }

    /// Adds the time of one piece of the client's work.
    pub(crate) fn add_work(&self, time: Duration, now: Instant) {
        let weight = if time > SHORT { LONG_WEIGHT * PROCESSOR_SHARE } else { PROCESSOR_SHARE };
        self.add_debt(time.min(MAX_PIECE) * weight, now);
    }

    /// Adds bytes that the client writes to the disk.
    pub(crate) fn add_written(&self, bytes: usize, now: Instant) {
        let time = Duration::from_millis(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / BYTES_PER_MS as u32;
        self.add_debt(time * PROCESSOR_SHARE, now);
    }

    fn add_debt(&self, time: Duration, now: Instant) {
        let (now_ns, more_ns) = (ns(now - self.created_at), ns(time));
        let with_more = |settled_ns: u64| Some((settled_ns.max(now_ns) + more_ns).min(now_ns + ns(MAX_DEBT)));
        let _ = self.settled_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_more);
    }

    /// The class in which a client is to be served that is served in `current` now.
    #[must_use]
    pub(crate) fn class(&self, current: PriorityClass, now: Instant) -> PriorityClass {
        let debt_ns = self.settled_ns.load(Ordering::Relaxed).saturating_sub(ns(now - self.created_at));
        match current {
            PriorityClass::Foreground if debt_ns > ns(PROCESSOR_BURST * PROCESSOR_SHARE) => PriorityClass::Background,
            PriorityClass::Background if debt_ns == 0 => PriorityClass::Foreground,
            unchanged => unchanged,
        }
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The budgets of clients that may have several connections at a time, by name.
#[derive(Debug, Default)]
pub(crate) struct CpuBudgets(Mutex<HashMap<String, Weak<CpuBudget>>>);

impl CpuBudgets {
    /// The budget of the client with this name, which all of its connections share. It is removed after the last of them.
    #[must_use]
    pub(crate) fn get_or_create(&self, name: &str) -> Arc<CpuBudget> {
        let mut budgets = self.0.lock();
        if let Some(cpu_budget) = budgets.get(name).and_then(Weak::upgrade) {
            return cpu_budget;
        }
        budgets.retain(|_, cpu_budget| cpu_budget.strong_count() > 0);
        let cpu_budget = Arc::new(CpuBudget::new(Instant::now()));
        budgets.insert(name.to_owned(), Arc::downgrade(&cpu_budget));
        cpu_budget
    }
}

/// The clock that measures a piece of work. The background uses the thread's clock, which stops while others interrupt the thread. In the
/// foreground that is rare, and the real clock is read faster.
#[derive(Clone, Copy)]
enum Clock {
    Wall(Instant),
    Thread(Duration),
}

impl Clock {
    fn start(class: PriorityClass, now: Instant) -> Self {
        match class {
            PriorityClass::Foreground => Self::Wall(now),
            PriorityClass::Background => Self::Thread(thread_time()),
        }
    }

    fn elapsed(self, now: Instant) -> Duration {
        match self {
            Self::Wall(began) => now - began,
            Self::Thread(began) => thread_time().saturating_sub(began),
        }
    }
}

/// How long this thread has used a processor.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

pin_project! {
    /// A future each poll of which is measured and added to a client's budget.
    pub(crate) struct Metered<F> {
        cpu_budget: Arc<CpuBudget>,
        class: PriorityClass,
        #[pin]
        future: F,
    }
}

impl<F: Future> Metered<F> {
    pub(crate) fn new(cpu_budget: Arc<CpuBudget>, class: PriorityClass, future: F) -> Self {
        Self { cpu_budget, class, future }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let clock = Clock::start(*this.class, Instant::now());
        let polled = this.future.poll(cx);
        let now = Instant::now();
        this.cpu_budget.add_work(clock.elapsed(now), now);
        match this.class {
            PriorityClass::Foreground => threads::record_foreground_work(now),
            PriorityClass::Background => threads::yield_if_due_at(now),
        }
        polled
    }
}

#[cfg(test)]
mod tests;
