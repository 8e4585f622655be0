//! Wakes a connection's task for what others put into its session, once for all that it has not looked at. What its own task put
//! there, and what it has written since, wakes nobody.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::{Notify, futures::Notified};

/// The task has looked at everything.
const IDLE: u8 = 0;
/// There is something new, and the task is to be woken for it later.
const WORK: u8 = 1;
/// The task was woken, and has not looked yet.
const WOKEN: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct WakeSignal {
    state: AtomicU8,
    notify: Notify,
}

impl WakeSignal {
    /// There is something new; [`WakeSignal::wake`] is to follow.
    pub(super) fn mark(&self) {
        let _ = self.state.compare_exchange(IDLE, WORK, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Wakes the task for what was noted, unless it has looked since, or was woken already.
    pub(super) fn wake(&self) {
        if self.state.compare_exchange(WORK, WOKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.notify.notify_one();
        }
    }

    /// There is something new: wakes the task.
    pub(super) fn wake_now(&self) {
        if self.state.swap(WOKEN, Ordering::AcqRel) != WOKEN {
            self.notify.notify_one();
        }
    }

    /// The task looks at everything after this call: what comes later wakes it again.
    pub(super) fn clear(&self) {
        self.state.swap(IDLE, Ordering::AcqRel);
    }

    /// Waits until the task is woken. What it was woken for it may have looked at meanwhile: [`WakeSignal::is_woken`].
    pub(super) fn notified(&self) -> Notified<'_> {
        self.notify.notified()
    }

    /// There is something that the task has not looked at.
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
        let notified = pin!(signal.notified()).poll(&mut Context::from_waker(Waker::noop()));
        notified == Poll::Ready(()) && signal.is_woken()
    }

    #[test]
    fn what_is_noted_wakes_the_task_once_when_that_is_asked_for() {
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
        // Not looked at yet: nobody needs to wake it a second time.
        signal.mark();
        signal.wake();
        assert!(!is_woken(&signal));
        signal.clear();
        signal.mark();
        signal.wake();
        assert!(is_woken(&signal));
    }
}
