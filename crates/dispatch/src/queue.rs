//! A plugin's events in queues, one per device. Each queue is first in, first out, and at most one worker has jobs of a queue.
//! Pure: no tasks, no clock.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use hashbrown::HashMap;

use switchbox_core::registry::Device;
use switchbox_model::{DeviceNum, Event, EventData, Seq};

/// An event to handle.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) event: Event,
    /// `None` for timers and ordinary topics.
    pub(super) device: Option<Arc<Device>>,
    /// 1 for the first attempt.
    pub(super) attempt: u32,
    /// The dead letter whose event this is, if it is redriven.
    pub(super) dead_letter_id: Option<u64>,
}

impl Job {
    /// The memory that it takes, roughly.
    fn bytes(&self) -> usize {
        self.event.data.payload().len() + 128
    }
}

/// The queue of an event: its device's, its topic's, its timer's, or the one of all other events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum QueueKey {
    Device(DeviceNum),
    /// A hash. Topics with the same hash share a queue and wait for each other.
    Topic(u64),
    /// A hash, in the same way.
    Timer(u64),
    Other,
}

impl QueueKey {
    pub(super) fn of(event: &Event) -> Self {
        match (&event.data, event.device) {
            (_, Some(device)) => Self::Device(device),
            (EventData::Topic { topic, .. }, None) => Self::Topic(hash(topic)),
            (EventData::Timer { name, .. }, None) => Self::Timer(hash(name)),
            _ => Self::Other,
        }
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Jobs of one queue that a worker took together.
#[derive(Debug)]
pub(super) struct JobBatch {
    pub(super) key: QueueKey,
    pub(super) jobs: VecDeque<Job>,
}

/// The waiting events of one [`QueueKey`].
#[derive(Debug, Default)]
struct EventQueue {
    jobs: VecDeque<Job>,
    /// The oldest event that was taken and is not done.
    in_progress: Option<Seq>,
    /// No job is taken before [`EventQueues::wake`].
    asleep: bool,
}

/// All queues of one plugin. A queue exists while it has events that wait or are in progress.
#[derive(Debug, Default)]
pub(super) struct EventQueues {
    by_key: HashMap<QueueKey, EventQueue>,
    /// The queues that a worker may take events of.
    pub(super) ready: VecDeque<QueueKey>,
    /// The number of waiting events.
    pub(super) len: usize,
    /// The bytes of waiting events, roughly.
    pub(super) bytes: usize,
}

impl EventQueues {
    /// Queues the job, and reserves memory for `more` jobs that will follow, most of them in the same queue.
    pub(super) fn push(&mut self, job: Job, more: usize) {
        let key = QueueKey::of(&job.event);
        self.len += 1;
        self.bytes += job.bytes();
        let queue = self.by_key.entry(key).or_default();
        if queue.jobs.len() == queue.jobs.capacity() {
            queue.jobs.reserve(1 + more);
        }
        queue.jobs.push_back(job);
        if queue.jobs.len() == 1 && queue.in_progress.is_none() && !queue.asleep {
            self.ready.push_back(key);
        }
    }

    /// Takes up to `max` events of the queue that has waited longest. Returns `None` if no queue is ready.
    pub(super) fn take(&mut self, max: usize) -> Option<JobBatch> {
        let key = self.ready.pop_front()?;
        let queue = self.by_key.get_mut(&key)?;
        let jobs: VecDeque<Job> =
            if queue.jobs.len() <= max { std::mem::take(&mut queue.jobs) } else { queue.jobs.drain(..max).collect() };
        queue.in_progress = jobs.front().map(|job| job.event.seq);
        self.len -= jobs.len();
        self.bytes -= jobs.iter().map(Job::bytes).sum::<usize>();
        Some(JobBatch { key, jobs })
    }

    /// All jobs that were taken from the queue are done.
    pub(super) fn finish(&mut self, key: QueueKey) {
        let Some(queue) = self.by_key.get_mut(&key) else { return };
        queue.in_progress = None;
        if queue.jobs.is_empty() {
            self.by_key.remove(&key);
        } else {
            self.ready.push_back(key);
        }
    }

    /// Puts jobs back that were taken and not done. The queue sleeps until [`EventQueues::wake`].
    pub(super) fn put_back(&mut self, batch: JobBatch) {
        let Some(queue) = self.by_key.get_mut(&batch.key) else { return };
        self.len += batch.jobs.len();
        self.bytes += batch.jobs.iter().map(Job::bytes).sum::<usize>();
        for job in batch.jobs.into_iter().rev() {
            queue.jobs.push_front(job);
        }
        queue.in_progress = None;
        queue.asleep = true;
    }

    /// Puts jobs back behind an event that is not done yet. The queue waits for [`EventQueues::finish`].
    pub(super) fn put_back_behind(&mut self, in_progress: Seq, remaining: JobBatch) {
        let key = remaining.key;
        self.put_back(remaining);
        if let Some(queue) = self.by_key.get_mut(&key) {
            queue.in_progress = Some(in_progress);
            queue.asleep = false;
        }
    }

    /// Takes all jobs that wait: those that were tried before come first, then the oldest.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let mut jobs: Vec<_> = self.by_key.drain().flat_map(|(_, queue)| queue.jobs).collect();
        self.ready.clear();
        (self.len, self.bytes) = (0, 0);
        jobs.sort_by_key(|job| (job.attempt == 1, job.event.seq));
        jobs
    }

    /// Lets workers take the queue's jobs again, after [`EventQueues::put_back`].
    pub(super) fn wake(&mut self, key: QueueKey) {
        let Some(queue) = self.by_key.get_mut(&key) else { return };
        if std::mem::take(&mut queue.asleep) {
            self.ready.push_back(key);
        }
    }

    /// The oldest event that is not done.
    pub(super) fn oldest(&self) -> Option<Seq> {
        let oldest = |queue: &EventQueue| queue.in_progress.or_else(|| queue.jobs.front().map(|job| job.event.seq));
        self.by_key.values().filter_map(oldest).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(device: u64, seq: u64) -> Job {
        let event = Event {
            seq: Seq(seq),
            time_ms: 0,
            device: Some(DeviceNum(device)),
            durable: true,
            data: EventData::Connected,
        };
        Job { event, device: None, attempt: 1, dead_letter_id: None }
    }

    fn seqs(batch: &JobBatch) -> Vec<u64> {
        batch.jobs.iter().map(|job| job.event.seq.0).collect()
    }

    #[test]
    fn a_queue_is_given_to_one_worker_at_a_time_and_in_order() {
        let mut queues = EventQueues::default();
        for seq in 1..=5 {
            queues.push(job(1, seq), 0);
        }
        let first = queues.take(2).unwrap();
        assert_eq!(seqs(&first), [1, 2]);
        assert!(queues.take(2).is_none(), "the queue was given out twice");
        assert_eq!(queues.oldest(), Some(Seq(1)));
        queues.finish(first.key);
        assert_eq!(seqs(&queues.take(9).unwrap()), [3, 4, 5]);
    }

    #[test]
    fn different_queues_are_given_out_at_the_same_time() {
        let mut queues = EventQueues::default();
        queues.push(job(1, 1), 0);
        queues.push(job(2, 2), 0);
        assert_eq!(seqs(&queues.take(9).unwrap()), [1]);
        assert_eq!(seqs(&queues.take(9).unwrap()), [2]);
    }

    #[test]
    fn what_is_put_back_behind_an_event_waits_until_that_is_done() {
        let mut queues = EventQueues::default();
        for seq in 1..=3 {
            queues.push(job(1, seq), 0);
        }
        let mut batch = queues.take(2).unwrap();
        batch.jobs.pop_front();
        let key = batch.key;
        queues.put_back_behind(Seq(1), batch);
        assert_eq!((queues.len, queues.oldest()), (2, Some(Seq(1))));
        queues.push(job(1, 4), 0);
        assert!(queues.take(9).is_none(), "the queue went on");
        queues.finish(key);
        assert_eq!(seqs(&queues.take(9).unwrap()), [2, 3, 4]);
    }

    #[test]
    fn messages_keep_their_order_on_one_topic_and_wait_for_no_other() {
        let mut queues = EventQueues::default();
        for (seq, topic) in [(1, "a"), (2, "b"), (3, "a")] {
            let mut job = job(0, seq);
            job.event.device = None;
            job.event.data = EventData::Topic { topic: topic.into(), payload: "x".into(), properties: vec![] };
            queues.push(job, 0);
        }
        assert_eq!(seqs(&queues.take(9).unwrap()), [1, 3]);
        assert_eq!(seqs(&queues.take(9).unwrap()), [2]);
    }

    #[test]
    fn all_that_waits_is_taken_with_what_was_tried_before_first() {
        let mut queues = EventQueues::default();
        for (device, seq) in [(1, 1), (2, 2), (2, 4), (3, 3)] {
            queues.push(job(device, seq), 0);
        }
        let _in_progress = queues.take(1).unwrap();
        let mut tried = queues.take(2).unwrap();
        tried.jobs[1].attempt = 2;
        queues.put_back(tried);
        let seqs: Vec<_> = queues.drain().iter().map(|job| job.event.seq.0).collect();
        assert_eq!(seqs, [4, 2, 3]);
        assert_eq!((queues.len, queues.bytes, queues.take(9).is_none()), (0, 0, true));
    }

    #[test]
    fn what_is_put_back_comes_first_and_only_after_waking() {
        let mut queues = EventQueues::default();
        queues.push(job(1, 1), 0);
        queues.push(job(1, 2), 0);
        let mut batch = queues.take(9).unwrap();
        queues.push(job(1, 3), 0);
        batch.jobs[0].attempt = 2;
        queues.put_back(batch);
        assert!(queues.take(9).is_none(), "a sleeping queue was given out");
        assert_eq!(queues.len, 3);
        queues.wake(QueueKey::Device(DeviceNum(1)));
        let batch = queues.take(9).unwrap();
        assert_eq!(seqs(&batch), [1, 2, 3]);
        assert_eq!(batch.jobs[0].attempt, 2);
        queues.finish(batch.key);
        assert!(queues.by_key.is_empty());
        assert_eq!((queues.len, queues.bytes, queues.oldest()), (0, 0, None));
    }
}
