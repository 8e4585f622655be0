//! The queue before the writer: bounded in bytes, and the one place where events get their sequence numbers, so that
//! numbers grow in the order of the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Error, Reply, retention::Change};
use switchbox_model::{Entry, Seq};
use switchbox_support::scheduling::{PriorityClass, has_foreground};

/// Called once, on the writer's thread, after the entry is in the log and applied (or could not be written). Must not
/// block.
pub type CommitCallback = Box<dyn FnOnce(Result<Reply, Error>) + Send>;

/// Reserved bytes of the queue; given back when the entry is in the log.
#[derive(Debug)]
#[allow(dead_code, reason = "held for its drop")]
pub struct QueuePermit {
    units: OwnedSemaphorePermit,
    /// Of what the background may take.
    of_background: Option<OwnedSemaphorePermit>,
}

/// How long an entry that no caller waits for may wait for others to share its commit.
const LINGER: Duration = Duration::from_millis(20);

/// How long the writer looks for what a plugin is about to submit before it sleeps: about what sleeping and being woken costs.
const SPIN: Duration = Duration::from_micros(25);
/// How often it waits for the processor between two looks.
const SPINS: usize = 20;

/// The queue is counted in units, so that a permit fits the semaphore's counter.
const UNIT_BYTES: usize = 256;
/// What all of the background together have in the queue: what others have to wait behind. Enough for two commits of small events,
/// of which one gathers while the other is written.
const BACKGROUND_BYTES: usize = 96 * 1024;
/// What takes the disk longer than a commit of small events.
const LARGE_BYTES: usize = 32 * 1024;
/// How long the disk is the foreground's before the background writes so much: 32 MiB in a second are left to it.
const BACK_OFF: Duration = Duration::from_millis(1);

pub(super) enum Item {
    Entry {
        /// Goes before it, in the same commit.
        first: Option<Box<Entry>>,
        entry: Entry,
        /// The commit waits for the disk.
        sync: bool,
        done: Option<CommitCallback>,
        #[allow(dead_code, reason = "held for its drop")]
        permit: Option<QueuePermit>,
    },
    /// Rows up to and with this one may go.
    Trim { row: i64, reuse: bool },
    /// Before rows go: what is to outlive them.
    Keep { change: Box<Change>, done: tokio::sync::oneshot::Sender<()> },
    /// All documents made from what was submitted before are in `state.db`.
    Flush { done: tokio::sync::oneshot::Sender<()>, low_water: Option<Seq> },
}

struct Queue {
    items: Vec<Item>,
    /// A caller waits for one of the items.
    urgent: bool,
    next_seq: u64,
    closed: bool,
}

pub(super) struct AppendQueue {
    queue: Mutex<Queue>,
    filled: Condvar,
    permits: Arc<Semaphore>,
    units: usize,
    background: Arc<Semaphore>,
    background_units: usize,
    /// Entries that plugins that handle an event now are likely to submit soon.
    expected_entries: AtomicU64,
    written: tokio::sync::watch::Sender<Written>,
}

/// How far the log has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    /// The last event that is in the log.
    seq: Seq,
    /// No more will be written.
    ended: bool,
}

impl AppendQueue {
    pub(super) fn new(queue_bytes: usize, next_seq: u64) -> Self {
        let units = (queue_bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let background_units = (BACKGROUND_BYTES / UNIT_BYTES).min(units.div_ceil(4));
        Self {
            queue: Mutex::new(Queue { items: Vec::new(), urgent: false, next_seq, closed: false }),
            filled: Condvar::new(),
            permits: Arc::new(Semaphore::new(units)),
            units,
            background: Arc::new(Semaphore::new(background_units)),
            background_units,
            expected_entries: AtomicU64::new(0),
            written: tokio::sync::watch::Sender::new(Written { seq: Seq(next_seq - 1), ended: false }),
        }
    }

    /// Waits for room. A request larger than the whole queue gets the whole queue.
    pub(super) async fn reserve(&self, bytes: usize, class: PriorityClass) -> Result<QueuePermit, Error> {
        let of_background = self.background_permit(bytes, class).await?;
        let units =
            self.permits.clone().acquire_many_owned(units_of(bytes, self.units)).await.map_err(|_| Error::Closed)?;
        Ok(QueuePermit { units, of_background })
    }

    /// Returns `None` if the queue has no room.
    pub(super) fn try_reserve(&self, bytes: usize, class: PriorityClass) -> Option<QueuePermit> {
        let of_background = match class {
            PriorityClass::Foreground => None,
            PriorityClass::Background => Some(take_now(&self.background, units_of(bytes, self.background_units))?),
        };
        Some(QueuePermit { units: take_now(&self.permits, units_of(bytes, self.units))?, of_background })
    }

    /// Reserves room for what may be dropped. Returns `None` if that would use the last quarter of the queue.
    pub(super) async fn reserve_droppable(
        &self,
        bytes: usize,
        class: PriorityClass,
    ) -> Result<Option<QueuePermit>, Error> {
        let of_background = self.background_permit(bytes, class).await?;
        let units = take_now(&self.permits, units_of(bytes, self.units));
        let units = units.filter(|_| self.permits.available_permits() >= self.units / 4);
        Ok(units.map(|units| QueuePermit { units, of_background }))
    }

    /// Waits until the background has no more than its part of the queue.
    async fn background_permit(
        &self,
        bytes: usize,
        class: PriorityClass,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        match class {
            PriorityClass::Foreground => Ok(None),
            PriorityClass::Background => {
                let units = units_of(bytes, self.background_units);
                let background_permit =
                    self.background.clone().acquire_many_owned(units).await.map_err(|_| Error::Closed)?;
                let back_off = back_off_before(bytes);
                if !back_off.is_zero() && has_foreground(Instant::now()) {
                    tokio::time::sleep(back_off).await;
                }
                Ok(Some(background_permit))
            }
        }
    }

    /// Numbers the entry's events and queues it, without waking the writer. Returns the first number; none when the store is
    /// closed (`done` has been called). `first`: an entry without events that is written with it, or not at all.
    pub(super) fn append(
        &self,
        first: Option<Entry>,
        mut entry: Entry,
        sync: bool,
        permit: Option<QueuePermit>,
        done: Option<CommitCallback>,
    ) -> Option<Seq> {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            refuse(done);
            return None;
        }
        let first_seq = Seq(queue.next_seq);
        for event in entry.events_mut() {
            event.seq = Seq(queue.next_seq);
            queue.next_seq += 1;
        }
        // Nobody waits for QoS 0 events; what plugins make of them comes with urgency of its own.
        queue.urgent |= sync;
        queue.items.push(Item::Entry { first: first.map(Box::new), entry, sync, done, permit });
        Some(first_seq)
    }

    /// Queues items in this order.
    pub(super) fn push(&self, items: impl IntoIterator<Item = Item>) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            for item in items {
                if let Item::Entry { done, .. } = item {
                    refuse(done);
                }
            }
            return;
        }
        queue.items.extend(items);
        queue.urgent = true;
        drop(queue);
        self.filled.notify_one();
    }

    /// Queues an entry that nobody waits for: it goes with the next batch, or after a moment in one of its own.
    pub(super) fn push_lingering(&self, entry: Entry) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        let first = queue.items.is_empty();
        queue.items.push(Item::Entry { first: None, entry, sync: false, done: None, permit: None });
        drop(queue);
        if first {
            self.filled.notify_one();
        }
    }

    /// Wakes the writer; so many entries of plugins are likely to follow soon.
    pub(super) fn wake(&self, expected: usize) {
        self.expected_entries.fetch_add(u64::try_from(expected).unwrap_or(0), Ordering::Relaxed);
        self.filled.notify_one();
    }

    /// So many of the expected entries have arrived.
    pub(super) fn expected_arrived(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(0);
        let less = |expected: u64| Some(expected.saturating_sub(entries));
        let _ = self.expected_entries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Takes what comes until then, if anything is expected at all. Returns false if nothing came in time, so that nothing is expected
    /// any more, or if the queue is closed and empty. `spins`: looks again and again for a moment before it sleeps.
    pub(super) fn take_expected(&self, until: Instant, spins: bool, into: &mut Vec<Item>) -> bool {
        if self.expected_entries.load(Ordering::Relaxed) == 0 {
            return false;
        }
        if spins {
            self.spin();
        }
        let mut queue = self.queue.lock();
        while queue.items.is_empty() && !queue.closed {
            if self.filled.wait_until(&mut queue, until).timed_out() {
                self.expected_entries.store(0, Ordering::Relaxed);
                return false;
            }
        }
        queue.urgent = false;
        let arrived = !queue.items.is_empty();
        into.append(&mut queue.items);
        arrived
    }

    /// Until there is something in the queue, but not for long.
    fn spin(&self) {
        let until = Instant::now() + SPIN;
        while self.queue.try_lock().is_none_or(|queue| queue.items.is_empty() && !queue.closed)
            && Instant::now() < until
        {
            (0..SPINS).for_each(|_| std::hint::spin_loop());
        }
    }

    /// The number that the next event will get.
    pub(super) fn next_seq(&self) -> Seq {
        Seq(self.queue.lock().next_seq)
    }

    /// Waits for items and takes all of them. False when the queue is closed and empty.
    pub(super) fn take(&self, into: &mut Vec<Item>) -> bool {
        let mut queue = self.queue.lock();
        while queue.items.is_empty() {
            if queue.closed {
                return false;
            }
            self.filled.wait(&mut queue);
        }
        let until = Instant::now() + LINGER;
        while !queue.urgent && !queue.closed && !self.filled.wait_until(&mut queue, until).timed_out() {}
        queue.urgent = false;
        std::mem::swap(&mut queue.items, into);
        true
    }

    /// All events up to and with this one are in the log.
    pub(super) fn note_written(&self, seq: Seq) {
        self.written.send_if_modified(|written| std::mem::replace(&mut written.seq, seq) != seq);
    }

    /// The writer has ended: what is not in the log by now will never be.
    pub(super) fn note_ended(&self) {
        self.written.send_modify(|written| written.ended = true);
    }

    /// Waits until the event is in the log. The error: it never will be.
    pub(super) async fn written(&self, seq: Seq) -> Result<(), Error> {
        let mut written = self.written.subscribe();
        let reached = written.wait_for(|written| written.seq >= seq || written.ended).await;
        if reached.is_ok_and(|written| written.seq >= seq) { Ok(()) } else { Err(Error::Closed) }
    }

    /// Takes nothing new; what is queued is still written.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.permits.close();
        self.background.close();
        self.filled.notify_all();
    }
}

fn take_now(from: &Arc<Semaphore>, units: u32) -> Option<OwnedSemaphorePermit> {
    from.clone().try_acquire_many_owned(units).ok()
}

/// How long the disk is to be left alone before so much is written.
fn back_off_before(bytes: usize) -> Duration {
    BACK_OFF * u32::try_from(bytes / LARGE_BYTES).unwrap_or(u32::MAX)
}

fn units_of(bytes: usize, most: usize) -> u32 {
    u32::try_from((bytes / UNIT_BYTES + 1).min(most)).unwrap_or(u32::MAX)
}

fn refuse(done: Option<CommitCallback>) {
    if let Some(done) = done {
        done(Err(Error::Closed));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use switchbox_model::{DeviceNum, Event, EventData};

    fn event() -> Event {
        let device = Some(DeviceNum(1));
        Event { seq: Seq(0), time_ms: 0, device, durable: true, data: EventData::Connected }
    }

    /// None: it would wait.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    fn numbers(items: &[Item]) -> Vec<u64> {
        let events = items.iter().filter_map(|item| match item {
            Item::Entry { entry: Entry::Events(events), .. } => Some(events),
            _ => None,
        });
        events.flatten().map(|event| event.seq.0).collect()
    }

    #[test]
    fn events_are_numbered_in_the_order_of_the_log() {
        let append_queue = AppendQueue::new(1024, 7);
        assert_eq!(append_queue.append(None, Entry::Events(vec![event(), event()]), true, None, None), Some(Seq(7)));
        assert_eq!(append_queue.append(None, Entry::Events(vec![event()]), false, None, None), Some(Seq(9)));
        let mut items = Vec::new();
        assert!(append_queue.take(&mut items));
        assert_eq!(numbers(&items), [7, 8, 9]);
        assert_eq!(append_queue.next_seq(), Seq(10));
    }

    #[test]
    fn what_nobody_waits_for_goes_with_what_somebody_does() {
        let append_queue = AppendQueue::new(1024, 1);
        append_queue.push_lingering(Entry::Barrier);
        append_queue.append(None, Entry::Events(vec![event()]), true, None, None);
        let mut items = Vec::new();
        assert!(append_queue.take(&mut items));
        assert_eq!(items.len(), 2);
        append_queue.push_lingering(Entry::Barrier);
        items.clear();
        assert!(append_queue.take(&mut items), "it goes alone when nothing else comes");
        assert_eq!(items.len(), 1);
    }

    #[test]
    fn a_closed_intake_says_so_and_still_gives_out_what_it_has() {
        let append_queue = AppendQueue::new(1024, 1);
        append_queue.push_lingering(Entry::Barrier);
        append_queue.close();
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let done: CommitCallback = Box::new(move |result| sender.send(result).unwrap());
        assert_eq!(append_queue.append(None, Entry::Events(vec![event()]), true, None, Some(done)), None);
        assert!(matches!(receiver.recv().unwrap(), Err(Error::Closed)));
        let mut items = Vec::new();
        assert!(append_queue.take(&mut items));
        assert!(!append_queue.take(&mut items));
    }

    #[test]
    fn what_may_be_lost_never_takes_the_last_quarter_however_many_want_it() {
        let append_queue = AppendQueue::new(100 * UNIT_BYTES, 1);
        let reserve_droppable =
            |bytes| at_once(append_queue.reserve_droppable(bytes, PriorityClass::Foreground)).unwrap().unwrap();
        // One unit each.
        let taken = std::thread::scope(|scope| {
            let greedy = || std::iter::from_fn(|| reserve_droppable(1)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(greedy)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(!taken.is_empty() && taken.len() <= 75, "{}", taken.len());
        let others: Vec<_> = std::iter::from_fn(|| append_queue.try_reserve(1, PriorityClass::Foreground)).collect();
        assert_eq!(taken.len() + others.len(), 100);
        drop(others);
        assert!(reserve_droppable(75 * UNIT_BYTES).is_none(), "it is too much at once");
        drop(taken);
        assert!(reserve_droppable(74 * UNIT_BYTES).is_some());
    }

    #[test]
    fn the_background_has_little_in_the_queue_and_the_foreground_finds_room() {
        let append_queue = AppendQueue::new(100 * UNIT_BYTES, 1);
        let permit = |class| at_once(append_queue.reserve(1, class)).map(Result::unwrap);
        let reserve_droppable = |class| at_once(append_queue.reserve_droppable(1, class)).map(Result::unwrap);
        let mut taken: Vec<_> = std::iter::from_fn(|| permit(PriorityClass::Background)).collect();
        assert_eq!(taken.len(), 25);
        assert!(reserve_droppable(PriorityClass::Background).is_none(), "it does not wait");
        assert!(append_queue.try_reserve(1, PriorityClass::Background).is_none());
        assert!(permit(PriorityClass::Foreground).is_some());
        assert!(reserve_droppable(PriorityClass::Foreground).unwrap().is_some());
        taken.pop();
        assert!(reserve_droppable(PriorityClass::Background).unwrap().is_some());
    }

    #[tokio::test]
    async fn what_is_larger_than_there_is_gets_all_there_is() {
        let append_queue = AppendQueue::new(100 * UNIT_BYTES, 1);
        for class in [PriorityClass::Foreground, PriorityClass::Background] {
            let largest = append_queue.reserve(1_000 * UNIT_BYTES, class).await.unwrap();
            assert!(append_queue.try_reserve(1, class).is_none());
            drop(largest);
        }
    }

    #[test]
    fn only_what_is_expected_is_waited_for() {
        let append_queue = AppendQueue::new(1024, 1);
        let mut items = Vec::new();
        let soon = || Instant::now() + Duration::from_millis(1);
        assert!(!append_queue.take_expected(soon(), false, &mut items), "nothing was expected");
        append_queue.wake(2);
        append_queue.push([Item::Trim { row: 1, reuse: true }]);
        assert!(append_queue.take_expected(soon(), false, &mut items));
        append_queue.expected_arrived(1);
        assert!(!append_queue.take_expected(soon(), false, &mut items), "the second did not come");
        append_queue.push([Item::Trim { row: 2, reuse: true }]);
        assert!(!append_queue.take_expected(soon(), false, &mut items), "it is not expected any more");
    }

    #[test]
    fn nothing_is_expected_of_a_queue_that_is_closed() {
        let append_queue = AppendQueue::new(1024, 1);
        append_queue.wake(2);
        append_queue.push([Item::Trim { row: 1, reuse: true }]);
        append_queue.close();
        let (mut items, until) = (Vec::new(), Instant::now() + Duration::from_secs(3600));
        assert!(append_queue.take_expected(until, true, &mut items), "what is queued is still given out");
        assert!(!append_queue.take_expected(until, true, &mut items), "the writer would ask again, for ever");
    }

    #[test]
    fn nobody_waits_for_an_event_that_will_never_be_in_the_log() {
        let append_queue = AppendQueue::new(1024, 1);
        assert!(at_once(append_queue.written(Seq(1))).is_none());
        append_queue.note_ended();
        assert!(matches!(at_once(append_queue.written(Seq(1))), Some(Err(Error::Closed))));
    }
}
