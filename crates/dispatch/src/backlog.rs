//! The events that wait for one plugin, and the number of its workers. A slow plugin's queue is bounded: past it, the plugin reads
//! its events from the journal again until it has caught up. Handles no event itself.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::queue::{EventQueues, Job, JobBatch, QueueKey};
use switchbox_model::Seq;

/// Events that wait in memory for one plugin.
const QUEUE_EVENTS: usize = 10_000;
/// Bytes of events that wait in memory for one plugin.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Events of one device that a worker takes at once.
const BATCH: usize = 32;
/// Workers of one plugin that compute. Workers that wait for a device's answer are not counted.
const COMPUTING_MAX: usize = 2;
/// Ranges of events read from the journal that are remembered, for events that are offered after they were read. A thread that offers
/// may be without a processor for long, and a range may be short.
const READS_REMEMBERED: usize = 4_096;
/// Workers of one plugin in all.
const WORKERS_MAX: usize = 1_024;

/// The plugin reads from the journal because its queue was full, or because the host has just started.
pub(super) struct CatchUp {
    /// The first event that is read. An earlier event that is offered late (a later one overtook it) is not read, so it is queued.
    pub(super) from: Seq,
    /// The next event to read.
    pub(super) cursor: Seq,
    /// The newest event that was offered: when it has been read, the plugin has caught up.
    pub(super) newest: Seq,
    /// Events from the cursor on that were handled before the host stopped.
    pub(super) handled: HashSet<Seq>,
}

/// A task that a backlog asks to have spawned.
pub(super) enum BacklogTask {
    /// One more worker.
    Worker,
    /// The reader of the journal, for what came before the plugin began.
    CatchUp,
    /// The reader of the journal, because the queue was full: from now on the plugin reads from the journal.
    FallBehind,
}

#[derive(Default)]
struct Inner {
    queues: EventQueues,
    /// `None` if the plugin has caught up: it does not read from the journal.
    catch_up: Option<CatchUp>,
    /// The ranges of events that were read from the journal lately, in ascending order: from the first number, to before the second.
    read_ranges: VecDeque<(Seq, Seq)>,
    /// The number after the newest event that was queued or read. An event before it that is offered now was overtaken: the journal
    /// is not read from that event, because the events that overtook it would be handled twice.
    accepted_to: Seq,
    /// All workers of the plugin, those below included.
    workers: usize,
    /// Workers that wait for [`Backlog::work`].
    idle_workers: usize,
    /// Workers that wait for a device's answer.
    waiting_workers: usize,
    /// How many events have effects that are held back.
    held_back: usize,
    /// Events whose effects wait for approval.
    awaiting_approval: BTreeSet<Seq>,
    /// Tasks that wait for approvals.
    approval_tasks: usize,
    /// Workers get no events for now.
    paused: bool,
    stopped: bool,
}

impl Inner {
    /// Whether the event was read from the journal.
    fn was_read(&self, seq: Seq) -> bool {
        let index_after = self.read_ranges.partition_point(|(from, _)| *from <= seq);
        index_after.checked_sub(1).and_then(|at| self.read_ranges.get(at)).is_some_and(|(_, to)| seq < *to)
    }

    fn record_read(&mut self, range: (Seq, Seq)) {
        if self.read_ranges.len() >= READS_REMEMBERED {
            self.read_ranges.pop_front();
        }
        self.read_ranges.push_back(range);
    }
}

/// The events of one plugin, shared by its workers and by the tasks that offer events.
pub(super) struct Backlog {
    inner: Mutex<Inner>,
    /// Wakes a worker: a queue is ready, or the plugin stops.
    work: Notify,
    /// Wakes those that wait for room in the queue: events were handled, or the plugin stops.
    room_freed: Notify,
    /// Wakes [`Backlog::wait_until_idle`] and [`Backlog::drain`]: a worker, held-back effects or an approval ended.
    work_ended: Notify,
    /// Spawns a task.
    spawn: Box<dyn Fn(BacklogTask) + Send + Sync>,
}

impl Backlog {
    /// Accepts no events before [`Backlog::begin`]. `spawn` must not block: it is called with the backlog locked.
    pub(super) fn new(catch_up: CatchUp, spawn: impl Fn(BacklogTask) + Send + Sync + 'static) -> Self {
        Self {
            inner: Mutex::new(Inner { catch_up: Some(catch_up), ..Inner::default() }),
            work: Notify::new(),
            room_freed: Notify::new(),
            work_ended: Notify::new(),
            spawn: Box::new(spawn),
        }
    }

    /// Queues events of any device, in the order of the journal. Returns how many were queued in memory. Those for which the queue has no
    /// room are read from the journal later.
    pub(super) fn offer(&self, mut jobs: impl Iterator<Item = Job>) -> usize {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return 0;
        }
        let mut queued = 0;
        while let Some(job) = jobs.next() {
            let seq = job.event.seq;
            if inner.was_read(seq) {
                // The event was in the journal but not offered yet when the plugin read the journal up to it.
                continue;
            }
            let is_late = seq < inner.catch_up.as_ref().map_or(inner.accepted_to, |catch_up| catch_up.from);
            if let Some(catch_up) = inner.catch_up.as_mut().filter(|_| !is_late) {
                catch_up.newest = catch_up.newest.max(seq);
            } else if !is_late && (inner.queues.len >= QUEUE_EVENTS || inner.queues.bytes >= QUEUE_BYTES) {
                inner.catch_up = Some(CatchUp { from: seq, cursor: seq, newest: seq, handled: HashSet::new() });
                (self.spawn)(BacklogTask::FallBehind);
            } else {
                inner.accepted_to = inner.accepted_to.max(Seq(seq.0 + 1));
                inner.queues.push(job, jobs.size_hint().0);
                queued += 1;
            }
        }
        self.ensure_workers(&mut inner);
        queued
    }

    /// Queues the event of a dead letter. Returns false if the plugin has stopped.
    pub(super) fn redrive(&self, job: Job) -> bool {
        let mut inner = self.inner.lock();
        if !inner.stopped {
            inner.queues.push(job, 0);
            self.ensure_workers(&mut inner);
        }
        !inner.stopped
    }

    /// Wakes an idle worker or starts one if a queue is ready and the plugin has not stopped.
    fn ensure_workers(&self, inner: &mut Inner) {
        if inner.stopped || inner.paused || inner.queues.ready.is_empty() {
            return;
        }
        if inner.idle_workers > 0 {
            self.work.notify_one();
        } else if inner.workers < (COMPUTING_MAX + inner.waiting_workers).min(WORKERS_MAX) {
            inner.workers += 1;
            (self.spawn)(BacklogTask::Worker);
        }
    }

    /// The next events for a worker. Returns `None` if the worker has to end.
    pub(super) async fn next(&self) -> Option<JobBatch> {
        loop {
            let woken = self.work.notified();
            {
                let mut inner = self.inner.lock();
                if inner.stopped || inner.workers > COMPUTING_MAX + inner.waiting_workers {
                    inner.workers -= 1;
                    self.ensure_workers(&mut inner);
                    drop(inner);
                    self.work_ended.notify_waiters();
                    return None;
                }
                if !inner.paused
                    && let Some(batch) = inner.queues.take(BATCH)
                {
                    self.ensure_workers(&mut inner);
                    return Some(batch);
                }
                inner.idle_workers += 1;
                if inner.paused {
                    self.work_ended.notify_waiters();
                }
            }
            woken.await;
            self.inner.lock().idle_workers -= 1;
        }
    }

    /// A worker panicked outside of its guest. Its event stays in the journal, and the event's queue is blocked until the next start.
    pub(super) fn worker_lost(&self) {
        let mut inner = self.inner.lock();
        inner.workers -= 1;
        self.ensure_workers(&mut inner);
        drop(inner);
        self.work_ended.notify_waiters();
    }

    /// All jobs that were taken from the queue have been submitted to the journal.
    pub(super) fn finish(&self, key: QueueKey) {
        let mut inner = self.inner.lock();
        inner.queues.finish(key);
        self.ensure_workers(&mut inner);
        drop(inner);
        self.room_freed.notify_one();
    }

    /// Puts jobs back at the front of their queue, which is blocked until [`Backlog::wake`].
    pub(super) fn put_back(&self, batch: JobBatch) {
        self.inner.lock().queues.put_back(batch);
    }

    /// Lets workers take the queue's jobs again, after [`Backlog::put_back`].
    pub(super) fn wake(&self, key: QueueKey) {
        let mut inner = self.inner.lock();
        inner.queues.wake(key);
        self.ensure_workers(&mut inner);
    }

    /// The effects of the event `in_progress` are held back; the other jobs that were taken are put back behind it. The caller has to
    /// call [`Backlog::held_back_ended`] afterwards.
    pub(super) fn put_back_behind(&self, in_progress: Seq, remaining: JobBatch) {
        let mut inner = self.inner.lock();
        inner.held_back += 1;
        inner.queues.put_back_behind(in_progress, remaining);
    }

    /// The effects of an event are not held back any more: they were committed or dropped.
    pub(super) fn held_back_ended(&self) {
        self.inner.lock().held_back -= 1;
        self.work_ended.notify_waiters();
    }

    /// The effects of the event wait for approval. The caller has to call [`Backlog::approval_ended`] afterwards.
    pub(super) fn wait_for_approval(&self, seq: Seq) {
        let mut inner = self.inner.lock();
        inner.awaiting_approval.insert(seq);
        inner.approval_tasks += 1;
    }

    /// `decided`: the event was handled. Otherwise it stays unhandled in the journal.
    pub(super) fn approval_ended(&self, seq: Seq, decided: bool) {
        let mut inner = self.inner.lock();
        inner.approval_tasks -= 1;
        if decided {
            inner.awaiting_approval.remove(&seq);
        }
        drop(inner);
        self.work_ended.notify_waiters();
    }

    /// While the guard exists, one worker counts as waiting for a device, so that another may run in its place.
    pub(super) fn count_as_waiting(&self) -> WaitingWorker<'_> {
        let mut inner = self.inner.lock();
        inner.waiting_workers += 1;
        self.ensure_workers(&mut inner);
        drop(inner);
        WaitingWorker(self)
    }

    /// Waits until the queue is at most half full. Returns false if the plugin has stopped.
    pub(super) async fn wait_for_room(&self) -> bool {
        loop {
            let room_freed = self.room_freed.notified();
            {
                let inner = self.inner.lock();
                if inner.stopped {
                    return false;
                }
                if inner.queues.len <= QUEUE_EVENTS / 2 && inner.queues.bytes <= QUEUE_BYTES / 2 {
                    return true;
                }
            }
            room_freed.await;
        }
    }

    /// Starts to accept events. Those up to `newest` are read from the journal; later ones are offered.
    pub(super) fn begin(&self, newest: Seq) {
        self.with_catch_up(|catch_up| catch_up.newest = newest);
        (self.spawn)(BacklogTask::CatchUp);
    }

    /// Access to the state of catching up. Returns `None` if the plugin does not read from the journal.
    pub(super) fn with_catch_up<T>(&self, access: impl FnOnce(&mut CatchUp) -> T) -> Option<T> {
        self.inner.lock().catch_up.as_mut().map(access)
    }

    /// Every event before `next` was read from the journal. Queues the jobs of those that the plugin has to handle. Returns true if the plugin has caught up.
    pub(super) fn queue_read(&self, jobs: Vec<Job>, next: Seq) -> bool {
        let mut inner = self.inner.lock();
        if inner.stopped {
            // They stay in the journal, and the plugin is behind.
            return true;
        }
        jobs.into_iter().for_each(|job| inner.queues.push(job, 0));
        self.ensure_workers(&mut inner);
        let Some(catch_up) = &mut inner.catch_up else { return true };
        catch_up.cursor = catch_up.cursor.max(next);
        let (from, cursor, newest) = (catch_up.from, catch_up.cursor, catch_up.newest);
        inner.accepted_to = inner.accepted_to.max(cursor);
        if cursor > newest {
            let range = (from, cursor);
            inner.catch_up = None;
            inner.record_read(range);
            return true;
        }
        inner.stopped
    }

    /// The oldest event that is not handled; `None` if no event waits.
    pub(super) fn oldest(&self) -> Option<Seq> {
        let inner = self.inner.lock();
        let in_journal = inner.catch_up.as_ref().map(|catch_up| catch_up.cursor);
        [inner.queues.oldest(), in_journal, inner.awaiting_approval.first().copied()].into_iter().flatten().min()
    }

    /// The number of events queued in memory, and whether more wait in the journal.
    pub(super) fn len(&self) -> (usize, bool) {
        let inner = self.inner.lock();
        (inner.queues.len, inner.catch_up.is_some())
    }

    /// Gives no events to workers until [`Backlog::resume`]. Events are queued meanwhile.
    pub(super) fn pause(&self) {
        self.inner.lock().paused = true;
    }

    /// Gives events to workers again.
    pub(super) fn resume(&self) {
        let mut inner = self.inner.lock();
        inner.paused = false;
        self.ensure_workers(&mut inner);
    }

    /// Waits until no worker handles an event, after [`Backlog::pause`]. Effects may still be held back or wait for approval.
    pub(super) async fn wait_until_idle(&self) {
        loop {
            let work_ended = self.work_ended.notified();
            {
                let inner = self.inner.lock();
                if inner.workers <= inner.idle_workers {
                    return;
                }
            }
            // A worker may have finished its events and not be counted as idle yet, so the check is repeated.
            let _ = tokio::time::timeout(Duration::from_millis(50), work_ended).await;
        }
    }

    /// Takes the events that wait in memory, after [`Backlog::drain`].
    pub(super) fn take_queued(&self) -> Vec<Job> {
        self.inner.lock().queues.drain()
    }

    /// Accepts no more events and gives none to workers: the queued ones stay in the journal.
    pub(super) fn close(&self) {
        self.inner.lock().stopped = true;
    }

    /// Waits until the events that are being handled are done, after [`Backlog::close`].
    pub(super) async fn drain(&self) {
        loop {
            let work_ended = self.work_ended.notified();
            self.work.notify_waiters();
            self.room_freed.notify_one();
            let busy = {
                let inner = self.inner.lock();
                inner.workers + inner.held_back + inner.approval_tasks
            };
            if busy == 0 {
                return;
            }
            // A worker may have read the state and not yet registered for `work`, so the wake-up is repeated.
            let _ = tokio::time::timeout(Duration::from_millis(50), work_ended).await;
        }
    }
}

/// See [`Backlog::count_as_waiting`].
pub(super) struct WaitingWorker<'a>(&'a Backlog);

impl Drop for WaitingWorker<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().waiting_workers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use switchbox_model::{DeviceNum, Event, EventData};

    fn job(seq: u64) -> Job {
        let device = Some(DeviceNum(seq % 7));
        let event = Event { seq: Seq(seq), time_ms: 0, device, durable: true, data: EventData::Connected };
        Job { event, device: None, attempt: 1, dead_letter_id: None }
    }

    /// A plugin's events, and how often the plugin has fallen behind.
    struct Events {
        backlog: Backlog,
        behind: Arc<AtomicUsize>,
    }

    impl Events {
        /// The plugin has caught up: no event was before it.
        fn new() -> Self {
            let first = CatchUp { from: Seq(0), cursor: Seq(1), newest: Seq(0), handled: HashSet::new() };
            let behind = Arc::new(AtomicUsize::new(0));
            let counted = behind.clone();
            let start = move |task: BacklogTask| {
                if let BacklogTask::FallBehind = task {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            };
            let backlog = Backlog::new(first, start);
            assert!(backlog.queue_read(Vec::new(), Seq(1)));
            Self { backlog, behind }
        }

        /// Returns how many were queued, and whether the plugin falls behind because of it.
        fn offer(&self, seq: u64) -> (usize, bool) {
            let before = self.behind.load(Ordering::Relaxed);
            let queued = self.backlog.offer(std::iter::once(job(seq)));
            (queued, self.behind.load(Ordering::Relaxed) > before)
        }
    }

    #[test]
    fn an_event_that_is_offered_late_is_taken_unless_it_was_read_from_the_journal() {
        let events = Events::new();
        let full = QUEUE_EVENTS as u64;
        let taken: usize = (1..=full + 1).filter(|seq| *seq != 5).map(|seq| events.offer(seq).0).sum();
        assert_eq!(taken, QUEUE_EVENTS);
        assert_eq!(events.offer(full + 2), (0, true));
        assert_eq!(events.offer(5), (1, false), "the journal is read from behind it");
        assert_eq!(events.offer(full + 3), (0, false), "it is read from the journal");
        assert!(events.backlog.queue_read(Vec::new(), Seq(full + 5)));
        assert_eq!(events.offer(full + 4), (0, false), "it was read from the journal");
    }

    #[test]
    fn a_plugin_that_was_closed_takes_nothing_from_a_thread_that_found_it_before() {
        let events = Events::new();
        assert_eq!(events.offer(1), (1, false));
        events.backlog.close();
        assert_eq!(events.offer(2), (0, false));
        assert_eq!(events.backlog.len(), (1, false), "the first stays, for the next start");
    }

    #[test]
    fn an_event_that_was_overtaken_never_makes_the_journal_be_read_again() {
        let events = Events::new();
        let full = QUEUE_EVENTS as u64;
        (2..=full + 1).for_each(|seq| assert_eq!(events.offer(seq), (1, false)));
        let late = events.offer(1);
        assert_eq!(late, (1, false), "it is queued, though the queue is full: the others are not read again");
        assert_eq!(events.offer(full + 2), (0, true));
    }

    #[test]
    fn an_event_is_not_taken_twice_however_long_after_it_was_read_it_is_offered() {
        let events = Events::new();
        let full = QUEUE_EVENTS as u64;
        (1..=full).for_each(|seq| assert_eq!(events.offer(seq), (1, false)));
        // Short ranges, each with one event that is not offered yet.
        let ranges: Vec<_> = (0..100).map(|n| full + 1 + 2 * n).collect();
        for from in &ranges {
            assert_eq!(events.offer(*from), (0, true));
            assert!(events.backlog.queue_read(Vec::new(), Seq(from + 2)));
        }
        ranges.iter().for_each(|from| assert_eq!(events.offer(from + 1).0, 0, "{from}"));
    }
}
