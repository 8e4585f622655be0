//! What a client uses of the processor, measured around each piece of its work, and of the disk: held against its share. A client that
//! uses more is in debt, which goes away with time; a client deep in debt is served in the background until it has none.

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
/// One piece of work counts as this long at most: what took longer was probably interrupted.
const PIECE: Duration = Duration::from_millis(1);
/// Bytes for the disk that count like a millisecond of processor time.
const BYTES_PER_MS: usize = 64 * 1024;
/// What takes the disk longer than a commit of small events.
const LARGE_BYTES: usize = 32 * 1024;
/// How long the background leaves the disk to the foreground before it writes this many bytes, so that it writes 32 MiB a second.
const BACK_OFF: Duration = Duration::from_millis(1);
/// Longest time after which a debt is forgotten, so that a client is not held for what it once did.
const DEBT: Duration = Duration::from_millis(500);

/// Whose threads a client is served on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PriorityClass {
    Foreground,
    Background,
}

impl PriorityClass {
    /// What its clients may have in the journal's queue.
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

/// A client's share, over all of its connections.
#[derive(Debug)]
pub(crate) struct CpuBudget {
    born: Instant,
    /// When nothing is left of the debt, from `born`.
    settled_ns: AtomicU64,
}

impl CpuBudget {
    /// A new client begins in the background and has to show that it uses little; otherwise many new clients would count as much as
    /// one heavy one.
    #[must_use]
    pub(crate) fn new(now: Instant) -> Self {
        Self { born: now, settled_ns: AtomicU64::new(ns(PROCESSOR_BURST * PROCESSOR_SHARE)) }
    }

    /// Adds the time of the client's work.
    pub(crate) fn used(&self, time: Duration, now: Instant) {
        let weight = if time > SHORT { LONG_WEIGHT * PROCESSOR_SHARE } else { PROCESSOR_SHARE };
        self.add_debt(time.min(PIECE) * weight, now);
    }

    /// Adds bytes that the client writes to the disk.
    pub(crate) fn writes(&self, bytes: usize, now: Instant) {
        let time = Duration::from_millis(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / BYTES_PER_MS as u32;
        self.add_debt(time * PROCESSOR_SHARE, now);
    }

    fn add_debt(&self, time: Duration, now: Instant) {
        let (now_ns, more_ns) = (ns(now - self.born), ns(time));
        let later = |settled_ns: u64| Some((settled_ns.max(now_ns) + more_ns).min(now_ns + ns(DEBT)));
        let _ = self.settled_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// The class in which a client is to be served that is served in `current` now.
    #[must_use]
    pub(crate) fn class(&self, current: PriorityClass, now: Instant) -> PriorityClass {
        let debt_ns = self.settled_ns.load(Ordering::Relaxed).saturating_sub(ns(now - self.born));
        match current {
            PriorityClass::Foreground if debt_ns > ns(PROCESSOR_BURST * PROCESSOR_SHARE) => PriorityClass::Background,
            PriorityClass::Background if debt_ns == 0 => PriorityClass::Foreground,
            stays => stays,
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
    /// One share while any of its connections exists.
    #[must_use]
    pub(crate) fn of(&self, name: &str) -> Arc<CpuBudget> {
        let mut shares = self.0.lock();
        if let Some(cpu_budget) = shares.get(name).and_then(Weak::upgrade) {
            return cpu_budget;
        }
        shares.retain(|_, cpu_budget| cpu_budget.strong_count() > 0);
        let cpu_budget = Arc::new(CpuBudget::new(Instant::now()));
        shares.insert(name.to_owned(), Arc::downgrade(&cpu_budget));
        cpu_budget
    }
}

/// A thread's clock. In the background it does not advance while others interrupt the thread; in the foreground that is rare, and
/// the clock on the wall is read quicker.
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

/// How long this thread has run.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

pin_project! {
    /// A future whose work counts.
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
        this.cpu_budget.used(clock.elapsed(now), now);
        match this.class {
            PriorityClass::Foreground => threads::record_foreground_work(now),
            PriorityClass::Background => threads::yield_if_due_at(now),
        }
        polled
    }
}

#[cfg(test)]
mod tests;
