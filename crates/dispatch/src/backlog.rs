//! The events that wait for one plugin, and how many workers take them. A slow plugin's queue is bounded: past it, the plugin reads
//! its events from the log again until it has caught up. Handles no event itself.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::queue::{EventQueues, Job, QueueKey, Work};
use switchbox_model::Seq;

/// Events that wait in memory for one plugin.
const QUEUE_EVENTS: usize = 10_000;
/// Bytes of events that wait in memory for one plugin.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Events of one device that a worker takes at once.
const BATCH: usize = 32;
/// Workers of one plugin that compute; those that wait for a device's answer come on top.
const COMPUTING_MAX: usize = 2;
/// Times of catching up that are remembered. An event is offered late by far less than one of them takes.
const READS_REMEMBERED: usize = 16;
/// Workers of one plugin in all.
const WORKERS_MAX: usize = 1_024;

/// The plugin reads from the log because its queue was full, or because the host has just started.
pub(super) struct CatchUp {
    /// Where it began to read. An event before that which is offered late, as another of its time was offered first, is not read.
    pub(super) from: Seq,
    /// The next event to read.
    pub(super) cursor: Seq,
    /// The newest event that was offered; read up to here, and the plugin is back.
    pub(super) newest: Seq,
    /// Events from the cursor on that were handled before the host stopped.
    pub(super) handled: HashSet<Seq>,
}

/// What a backlog needs to be begun.
pub(super) enum Task {
    /// One more worker.
    Worker,
    /// The reader of the log.
    CatchUp,
}

/// What became of events that were offered.
#[derive(Default)]
pub(super) struct Offered {
    /// How many wait in memory; the others are read from the log.
    pub(super) queued: usize,
    /// The queue was full, and from now on the plugin reads from the log.
    pub(super) falls_behind: bool,
}

#[derive(Default)]
struct Inner {
    queues: EventQueues,
    catch_up: Option<CatchUp>,
    /// Events that were read from the log, of all times that the plugin has caught up lately: from the first, to before the second.
    read: VecDeque<(Seq, Seq)>,
    workers: usize,
    idle: usize,
    /// Workers that wait for a device's answer.
    waiting: usize,
    /// Events whose effects are held back.
    held_back: usize,
    stopped: bool,
}

impl Inner {
    /// The event was read from the log.
    fn was_read(&self, seq: Seq) -> bool {
        self.read.iter().rev().any(|(from, to)| *from <= seq && seq < *to)
    }

    fn note_read(&mut self, read: (Seq, Seq)) {
        if self.read.len() >= READS_REMEMBERED {
            self.read.pop_front();
        }
        self.read.push_back(read);
    }
}

pub(super) struct Backlog {
    inner: Mutex<Inner>,
    work: Notify,
    room: Notify,
    done: Notify,
    start: Box<dyn Fn(Task) + Send + Sync>,
}

impl Backlog {
    /// Takes nothing before [`Backlog::begin`].
    pub(super) fn new(catch_up: CatchUp, start: impl Fn(Task) + Send + Sync + 'static) -> Self {
        Self {
            inner: Mutex::new(Inner { catch_up: Some(catch_up), ..Inner::default() }),
            work: Notify::new(),
            room: Notify::new(),
            done: Notify::new(),
            start: Box::new(start),
        }
    }

    /// Events for this plugin, in the order of the journal, whichever device they are from. What the queue
    /// cannot take is read from the log.
    pub(super) fn offer(&self, mut jobs: impl Iterator<Item = Job>) -> Offered {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return Offered::default();
        }
        let mut offered = Offered::default();
        while let Some(job) = jobs.next() {
            let seq = job.event.seq;
            if inner.was_read(seq) {
                // It had its number but was not offered yet when the plugin read up to it.
                continue;
            }
            let is_late = inner.catch_up.as_ref().is_some_and(|catch_up| seq < catch_up.from);
            if let Some(catch_up) = inner.catch_up.as_mut().filter(|_| !is_late) {
                catch_up.newest = catch_up.newest.max(seq);
            } else if !is_late && (inner.queues.len() >= QUEUE_EVENTS || inner.queues.bytes() >= QUEUE_BYTES) {
                offered.falls_behind = true;
                inner.catch_up = Some(CatchUp { from: seq, cursor: seq, newest: seq, handled: HashSet::new() });
                (self.start)(Task::CatchUp);
            } else {
                inner.queues.push_reserving(job, jobs.size_hint().0);
                offered.queued += 1;
            }
        }
        self.ensure_workers(&mut inner);
        offered
    }

    /// An event that was a dead letter. False when the plugin has stopped.
    pub(super) fn redrive(&self, job: Job) -> bool {
        let mut inner = self.inner.lock();
        if !inner.stopped {
            inner.queues.push(job);
            self.ensure_workers(&mut inner);
        }
        !inner.stopped
    }

    /// Wakes an idle worker or starts one if a queue is ready and the plugin has not stopped.
    fn ensure_workers(&self, inner: &mut Inner) {
        if inner.stopped || !inner.queues.has_ready() {
            return;
        }
        if inner.idle > 0 {
            self.work.notify_one();
        } else if inner.workers < (COMPUTING_MAX + inner.waiting).min(WORKERS_MAX) {
            inner.workers += 1;
            (self.start)(Task::Worker);
        }
    }

    /// The next events for a worker; none when it is to end.
    pub(super) async fn next(&self) -> Option<Work> {
        loop {
            let woken = self.work.notified();
            {
                let mut inner = self.inner.lock();
                if inner.stopped || inner.workers > COMPUTING_MAX + inner.waiting {
                    inner.workers -= 1;
                    self.ensure_workers(&mut inner);
                    drop(inner);
                    self.done.notify_waiters();
                    return None;
                }
                if let Some(work) = inner.queues.take(BATCH) {
                    self.ensure_workers(&mut inner);
                    return Some(work);
                }
                inner.idle += 1;
            }
            woken.await;
            self.inner.lock().idle -= 1;
        }
    }

    /// A worker panicked outside of its guest. The event that it handled stays in the journal, and its queue waits for the next start.
    pub(super) fn worker_lost(&self) {
        let mut inner = self.inner.lock();
        inner.workers -= 1;
        self.ensure_workers(&mut inner);
        drop(inner);
        self.done.notify_waiters();
    }

    /// All that was taken of the queue is handed to the log.
    pub(super) fn finish(&self, key: QueueKey) {
        let mut inner = self.inner.lock();
        inner.queues.done(key);
        self.ensure_workers(&mut inner);
        drop(inner);
        self.room.notify_one();
    }

    /// What could not be handled waits, with all that is behind it, until [`Backlog::wake`].
    pub(super) fn put_back(&self, work: Work) {
        self.inner.lock().queues.put_back(work);
    }

    pub(super) fn wake(&self, key: QueueKey) {
        let mut inner = self.inner.lock();
        inner.queues.wake(key);
        self.ensure_workers(&mut inner);
    }

    /// The effects of the queue's event are held back; the rest of what was taken waits behind it. [`Backlog::released`] is to
    /// follow.
    pub(super) fn put_back_behind(&self, in_progress: Seq, rest: Work) {
        let mut inner = self.inner.lock();
        inner.held_back += 1;
        inner.queues.put_back_behind(in_progress, rest);
    }

    pub(super) fn released(&self) {
        self.inner.lock().held_back -= 1;
        self.done.notify_waiters();
    }

    /// While the guard lifecycles, one of the workers waits for a device and another may work in its place.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        let mut inner = self.inner.lock();
        inner.waiting += 1;
        self.ensure_workers(&mut inner);
        drop(inner);
        Waiting(self)
    }

    /// Waits until the queue is at most half full. False when the plugin has stopped.
    pub(super) async fn has_room(&self) -> bool {
        loop {
            let room = self.room.notified();
            {
                let inner = self.inner.lock();
                if inner.stopped {
                    return false;
                }
                if inner.queues.len() <= QUEUE_EVENTS / 2 && inner.queues.bytes() <= QUEUE_BYTES / 2 {
                    return true;
                }
            }
            room.await;
        }
    }

    /// Events up to `newest` are read from the log; later ones are offered.
    pub(super) fn begin(&self, newest: Seq) {
        self.with_catch_up(|catch_up| catch_up.newest = newest);
        (self.start)(Task::CatchUp);
    }

    /// For catching up.
    pub(super) fn with_catch_up<T>(&self, look: impl FnOnce(&mut CatchUp) -> T) -> Option<T> {
        self.inner.lock().catch_up.as_mut().map(look)
    }

    /// Everything before `next` was read. Queues the jobs; true when the plugin has caught up.
    pub(super) fn caught_up(&self, jobs: Vec<Job>, next: Seq) -> bool {
        let mut inner = self.inner.lock();
        jobs.into_iter().for_each(|job| inner.queues.push(job));
        self.ensure_workers(&mut inner);
        let Some(catch_up) = &mut inner.catch_up else { return true };
        catch_up.cursor = catch_up.cursor.max(next);
        if catch_up.cursor > catch_up.newest {
            let read = (catch_up.from, catch_up.cursor);
            inner.catch_up = None;
            inner.note_read(read);
            return true;
        }
        inner.stopped
    }

    /// The oldest event that is not handled; none = no event waits.
    pub(super) fn oldest(&self) -> Option<Seq> {
        let inner = self.inner.lock();
        let lagging = inner.catch_up.as_ref().map(|catch_up| catch_up.cursor);
        [inner.queues.oldest(), lagging].into_iter().flatten().min()
    }

    /// Events that wait in memory, and whether more wait in the log.
    pub(super) fn waits(&self) -> (usize, bool) {
        let inner = self.inner.lock();
        (inner.queues.len(), inner.catch_up.is_some())
    }

    /// Takes nothing new, and lets go of what waits.
    pub(super) fn refuse(&self) {
        self.inner.lock().stopped = true;
    }

    /// Waits for the events that are being handled, after [`Backlog::refuse`].
    pub(super) async fn drain(&self) {
        loop {
            let done = self.done.notified();
            self.work.notify_waiters();
            self.room.notify_one();
            let busy = {
                let inner = self.inner.lock();
                inner.workers + inner.held_back
            };
            if busy == 0 {
                return;
            }
            // A worker may be between looking and waiting.
            let _ = tokio::time::timeout(Duration::from_millis(50), done).await;
        }
    }
}

/// See [`Backlog::waiting`].
pub(super) struct Waiting<'a>(&'a Backlog);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::{DeviceNum, Event, EventData};

    fn job(seq: u64) -> Job {
        let device = Some(DeviceNum(seq % 7));
        let event = Event { seq: Seq(seq), time_ms: 0, device, durable: true, data: EventData::Connected };
        Job { event, device: None, attempt: 1, dead_letter_id: None }
    }

    #[test]
    fn an_event_that_is_offered_late_is_taken_unless_it_was_read_from_the_log() {
        let first = CatchUp { from: Seq(0), cursor: Seq(1), newest: Seq(0), handled: HashSet::new() };
        let backlog = Backlog::new(first, |_| ());
        assert!(backlog.caught_up(Vec::new(), Seq(1)));
        let full = QUEUE_EVENTS as u64;
        let offer = |seq| backlog.offer(std::iter::once(job(seq))).queued;
        let taken: usize = (1..=full + 1).filter(|seq| *seq != 5).map(offer).sum();
        assert_eq!(taken, QUEUE_EVENTS);
        assert!(backlog.offer(std::iter::once(job(full + 2))).falls_behind);
        assert_eq!(offer(5), 1, "the log is read from behind it");
        assert_eq!(offer(full + 3), 0, "it is read from the log");
        assert!(backlog.caught_up(Vec::new(), Seq(full + 5)));
        assert_eq!(offer(full + 4), 0, "it was read from the log");
    }
}
