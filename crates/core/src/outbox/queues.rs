//! The part of the command queues that is in memory: which commands are open, without their content. It decides which task may end a
//! command, so that each ends once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use switchbox_model::{DeviceNum, OpenCommands};

/// The open commands of one device.
#[derive(Debug, Default)]
struct Queue {
    /// The open commands as the journal has them.
    open: OpenCommands,
    /// Commands whose end is not in the journal yet: only the task that has claimed a command may end it.
    claimed: Vec<u64>,
}

/// A command with a TTL of 0 whose device was not connected. Its end is claimed.
#[derive(Debug, PartialEq, Eq)]
pub struct Undelivered {
    pub device: DeviceNum,
    pub num: u64,
    pub id: String,
}

#[derive(Debug)]
struct Inner {
    /// How many commands may wait for one device.
    max_open: AtomicUsize,
    devices: Mutex<HashMap<DeviceNum, Queue>>,
    /// Commands that could not be delivered and are not ended yet.
    undelivered: Mutex<Vec<Undelivered>>,
    /// The earliest deadline of a command that was recorded, milliseconds since the Unix epoch.
    due: watch::Sender<u64>,
}

/// All queues. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CommandQueues {
    inner: Arc<Inner>,
}

impl CommandQueues {
    /// The queues as the store has them. `max_open`: how many commands may wait for one device, until the journal has another limit.
    #[must_use]
    pub fn new(commands: HashMap<DeviceNum, OpenCommands>, max_open: u64) -> Self {
        let queue = |open| Queue { open, claimed: Vec::new() };
        let devices = commands.into_iter().map(|(device, open)| (device, queue(open))).collect();
        let (max_open, due) = (AtomicUsize::new(count(max_open)), watch::Sender::new(u64::MAX));
        Self { inner: Arc::new(Inner { max_open, devices: Mutex::new(devices), undelivered: Mutex::default(), due }) }
    }

    /// How many may wait for one device.
    #[must_use]
    pub fn max_open(&self) -> usize {
        self.inner.max_open.load(Ordering::Relaxed)
    }

    /// Only for applying the journal.
    pub fn set_max_open(&self, max_open: u64) {
        self.inner.max_open.store(count(max_open), Ordering::Relaxed);
    }

    /// Opens the device's next command. Returns its number, and whether there was room. Only code that applies journal entries calls it.
    pub(super) fn open_next(&self, device: DeviceNum) -> (u64, bool) {
        let mut devices = self.inner.devices.lock();
        let queue = devices.entry(device).or_default();
        let has_room = queue.open.len() < self.max_open();
        (queue.open.open_next(), has_room)
    }

    /// Closes a command. Returns false if it had ended before. Only code that applies journal entries calls it.
    pub fn close(&self, device: DeviceNum, num: u64) -> bool {
        let mut devices = self.inner.devices.lock();
        let Some(queue) = devices.get_mut(&device) else { return false };
        queue.claimed.retain(|claimed| *claimed != num);
        queue.open.close(num)
    }

    /// Only for applying the journal: the device is gone.
    pub fn forget(&self, device: DeviceNum) {
        self.inner.devices.lock().remove(&device);
    }

    /// Claims the command's end: returns true for the first caller only.
    #[must_use]
    pub fn claim(&self, device: DeviceNum, num: u64) -> bool {
        let mut devices = self.inner.devices.lock();
        let Some(queue) = devices.get_mut(&device) else { return false };
        let is_first = queue.open.contains(num) && !queue.claimed.contains(&num);
        if is_first {
            queue.claimed.push(num);
        }
        is_first
    }

    /// Whether the command has not ended.
    #[must_use]
    pub fn is_open(&self, device: DeviceNum, num: u64) -> bool {
        let devices = self.inner.devices.lock();
        devices.get(&device).is_some_and(|queue| queue.open.contains(num) && !queue.claimed.contains(&num))
    }

    /// Commands of the device that are open.
    #[must_use]
    pub fn len(&self, device: DeviceNum) -> usize {
        self.inner.devices.lock().get(&device).map_or(0, |queue| queue.open.len())
    }

    /// How many more may wait for the device.
    #[must_use]
    pub fn room(&self, device: DeviceNum) -> usize {
        self.max_open().saturating_sub(self.len(device))
    }

    /// The number of the device's newest command; 0 = none yet.
    #[must_use]
    pub fn last(&self, device: DeviceNum) -> u64 {
        self.inner.devices.lock().get(&device).map_or(0, |queue| queue.open.last())
    }

    /// The number of the device's oldest open command; all before it have ended.
    #[must_use]
    pub fn first(&self, device: DeviceNum) -> u64 {
        let devices = self.inner.devices.lock();
        devices.get(&device).map_or(0, |queue| queue.open.first().unwrap_or(queue.open.last() + 1))
    }

    /// Open commands of all devices.
    #[must_use]
    pub fn total(&self) -> usize {
        self.inner.devices.lock().values().map(|queue| queue.open.len()).sum()
    }

    /// A command has its deadline at `ms`.
    pub fn record_due(&self, ms: u64) {
        self.inner.due.send_if_modified(|due| {
            let is_earlier = ms < *due;
            *due = (*due).min(ms);
            is_earlier
        });
    }

    /// Only for applying the journal: the device cannot take this open command, which was for now only. It is claimed, so that it is
    /// sent to no connection that comes, and due at once.
    pub(super) fn record_undelivered(&self, device: DeviceNum, num: u64, id: &str) {
        if self.claim(device, num) {
            self.inner.undelivered.lock().push(Undelivered { device, num, id: id.to_owned() });
            self.record_due(0);
        }
    }

    /// The undelivered commands, which have to be ended now. Each is returned once.
    #[must_use]
    pub fn take_undelivered(&self) -> Vec<Undelivered> {
        let mut undelivered = std::mem::take(&mut *self.inner.undelivered.lock());
        // While the journal is replayed, the end of a command may come after it.
        let devices = self.inner.devices.lock();
        undelivered.retain(|Undelivered { device, num, .. }| {
            devices.get(device).is_some_and(|queue| queue.claimed.contains(num))
        });
        undelivered
    }

    /// Forgets the deadline that [`Self::record_due`] recorded: the due commands are ended now.
    pub fn clear_due(&self) {
        self.inner.due.send_replace(u64::MAX);
    }

    /// The earliest recorded deadline; changes when a command is due earlier.
    #[must_use]
    pub fn due(&self) -> watch::Receiver<u64> {
        self.inner.due.subscribe()
    }
}

fn count(max_open: u64) -> usize {
    usize::try_from(max_open).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: DeviceNum = DeviceNum(1);

    #[test]
    fn a_command_is_ended_by_one_alone() {
        let queues = CommandQueues::new(HashMap::new(), 2);
        let (num, _) = queues.open_next(LAMP);
        assert!(queues.is_open(LAMP, num));
        assert!(queues.claim(LAMP, num), "the first");
        assert!(!queues.claim(LAMP, num) && !queues.is_open(LAMP, num), "a second, before the journal has it");
        assert_eq!(queues.len(LAMP), 1, "what the journal says counts");
        assert!(queues.close(LAMP, num));
        assert!(!queues.close(LAMP, num) && !queues.claim(LAMP, num), "a second, when the journal has it");
        assert!(!queues.claim(LAMP, 7) && !queues.claim(DeviceNum(2), 1), "no such command");
    }

    #[test]
    fn a_queue_takes_so_many_and_has_room_again_when_one_ends() {
        let queues = CommandQueues::new(HashMap::new(), 2);
        assert_eq!([(); 3].map(|()| queues.open_next(LAMP)), [(1, true), (2, true), (3, false)]);
        assert_eq!((queues.room(LAMP), queues.room(DeviceNum(2))), (0, 2));
        queues.close(LAMP, 3);
        queues.close(LAMP, 1);
        assert_eq!((queues.room(LAMP), queues.first(LAMP), queues.last(LAMP)), (1, 2, 3));
        queues.forget(LAMP);
        assert_eq!((queues.total(), queues.first(LAMP)), (0, 0));
    }

    #[test]
    fn the_earliest_time_is_looked_at() {
        let queues = CommandQueues::new(HashMap::new(), 2);
        let mut due = queues.due();
        [70, 50, 60].into_iter().for_each(|ms| queues.record_due(ms));
        assert!(due.has_changed().unwrap());
        assert_eq!(*due.borrow_and_update(), 50);
        queues.record_due(80);
        assert!(!due.has_changed().unwrap(), "a later one wakes nobody");
    }
}
