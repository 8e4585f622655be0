//! Wakes a connection's task when other tasks put items into its session: once for all items that the task has not processed yet. Items
//! that the task itself puts there do not wake it.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

/// The task has processed everything.
const IDLE: u8 = 0;
/// There is something new, and the task is not woken for it yet.
const WORK: u8 = 1;
/// The task was woken, and has not called [`WakeSignal::clear`] yet.
const WOKEN: u8 = 2;

/// One of [`IDLE`], [`WORK`] and [`WOKEN`], and the wake-up of the task.
#[derive(Debug, Default)]
pub(super) struct WakeSignal {
    state: AtomicU8,
    /// Wakes the task. The task may have processed the reason already; see [`WakeSignal::is_woken`].
    pub(super) notify: Notify,
}

impl WakeSignal {
    /// Records that there is something new. [`WakeSignal::wake`] must follow.
    pub(super) fn mark(&self) {
        let _ = self.state.compare_exchange(IDLE, WORK, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Wakes the task for what [`WakeSignal::mark`] recorded, unless the task has called [`WakeSignal::clear`] since or was woken already.
    pub(super) fn wake(&self) {
        if self.state.compare_exchange(WORK, WOKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.notify.notify_one();
        }
    }

    /// Records that there is something new, and wakes the task.
    pub(super) fn wake_now(&self) {
        if self.state.swap(WOKEN, Ordering::AcqRel) != WOKEN {
            self.notify.notify_one();
        }
    }

    /// Called by the task before it reads everything: what is marked later wakes it again.
    pub(super) fn clear(&self) {
        self.state.swap(IDLE, Ordering::AcqRel);
    }

    /// Returns true if the task was woken for something that it has not processed yet.
    pub(super) fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn is_woken(signal: &WakeSignal) -> bool {
        let notified = pin!(signal.notify.notified()).poll(&mut Context::from_waker(Waker::noop()));
        notified == Poll::Ready(()) && signal.is_woken()
    }

    #[test]
    fn what_is_marked_wakes_the_task_once_when_wake_is_called() {
        let signal = WakeSignal::default();
        signal.mark();
        signal.mark();
        assert!(!is_woken(&signal), "it is too early");
        signal.wake();
        signal.wake();
        assert!(is_woken(&signal));
        signal.clear();
        signal.wake();
        assert!(!is_woken(&signal), "nothing came since it looked");
    }

    #[test]
    fn what_the_task_has_looked_at_before_it_waits_does_not_wake_it() {
        let signal = WakeSignal::default();
        signal.wake_now();
        signal.clear();
        assert!(!is_woken(&signal));
        signal.mark();
        signal.clear();
        signal.wake();
        assert!(!is_woken(&signal));
    }

    #[test]
    fn what_comes_while_the_task_looks_wakes_it_again() {
        let signal = WakeSignal::default();
        signal.wake_now();
        assert!(is_woken(&signal));
        signal.clear();
        signal.wake_now();
        assert!(is_woken(&signal));
        // The task has not looked yet, so it is not woken a second time.
        signal.mark();
        signal.wake();
        assert!(!is_woken(&signal));
        signal.clear();
        signal.mark();
        signal.wake();
        assert!(is_woken(&signal));
    }
}
