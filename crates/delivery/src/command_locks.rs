//! The commands that devices have fetched and locked, and how often they abandoned them. In memory only.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use switchbox_model::{DeviceNum, limits::COMMANDS_IN_FLIGHT};

/// How long a fetched command is locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// When this many devices have locks, expired locks are removed. The next cleanup is at twice the number of devices that remain.
const CLEANUP_DEVICES: usize = 1_024;
/// Commands that are remembered as rejected because they were abandoned too often.
const MAX_EXCEEDED: usize = 1_024;

/// The lock of a fetched command.
struct CommandLock {
    /// The command's number among those of its device.
    num: u64,
    id: String,
    /// By which the device settles the command.
    token: String,
    until: Instant,
}

#[derive(Default)]
struct DeviceLocks {
    locks: Vec<CommandLock>,
    /// Numbers of commands that were abandoned, with how often.
    abandoned: Vec<(u64, u32)>,
}

/// The locks of all devices.
#[derive(Default)]
pub(super) struct CommandLocks {
    /// The locks of each device that has some, and the number of devices at which expired locks are removed next.
    devices: Mutex<(HashMap<DeviceNum, DeviceLocks>, usize)>,
    /// Commands that were abandoned too often, the newest last.
    exceeded: Mutex<VecDeque<(DeviceNum, u64)>>,
}

impl CommandLocks {
    /// Locks the command for the device. Returns `None` if it is locked already, or if the device has as many locks as it may.
    /// Otherwise returns the lock token and how often the command was abandoned.
    pub(super) fn lock(
        &self,
        device: DeviceNum,
        num: u64,
        id: &str,
        now: Instant,
        is_open: IsOpen<'_>,
    ) -> Option<(String, u32)> {
        let mut devices = self.devices.lock();
        let (devices, cleanup_at) = &mut *devices;
        if devices.len() >= CLEANUP_DEVICES.max(*cleanup_at) {
            devices.retain(|device, locks_of_device| locks_of_device.remove_expired(*device, now, is_open));
            *cleanup_at = 2 * devices.len();
        }
        let locks_of_device = devices.entry(device).or_default();
        locks_of_device.remove_expired(device, now, is_open);
        if locks_of_device.locks.len() >= COMMANDS_IN_FLIGHT || locks_of_device.locks.iter().any(|lock| lock.num == num)
        {
            return None;
        }
        let token = format!("{:016x}{:016x}", getrandom::u64().ok()?, getrandom::u64().ok()?);
        locks_of_device.locks.push(CommandLock {
            num,
            id: id.to_owned(),
            token: token.clone(),
            until: now + LOCK_TIMEOUT,
        });
        let abandoned = locks_of_device.abandoned.iter().find(|(of, _)| *of == num).map_or(0, |(_, times)| *times);
        Some((token, abandoned))
    }

    /// Releases a lock. Returns the command's number and id, or `None` if the device has no lock with this token.
    pub(super) fn release(&self, device: DeviceNum, token: &str, now: Instant) -> Option<(u64, String)> {
        let mut devices = self.devices.lock();
        let locks = &mut devices.0.get_mut(&device)?.locks;
        let index = locks.iter().position(|lock| lock.token == token && lock.until > now)?;
        let lock = locks.swap_remove(index);
        Some((lock.num, lock.id))
    }

    /// The command is rejected because it was abandoned too often.
    pub(super) fn record_exceeded(&self, device: DeviceNum, num: u64) {
        let mut exceeded = self.exceeded.lock();
        if exceeded.len() == MAX_EXCEEDED {
            exceeded.pop_front();
        }
        exceeded.push_back((device, num));
    }

    /// Whether the command was rejected because it was abandoned too often, if that is still remembered.
    pub(super) fn is_exceeded(&self, device: DeviceNum, num: u64) -> bool {
        self.exceeded.lock().contains(&(device, num))
    }

    /// The device abandoned the command. Returns how often it has, including this time.
    pub(super) fn abandon(&self, device: DeviceNum, num: u64, now: Instant, is_open: IsOpen<'_>) -> u32 {
        let mut devices = self.devices.lock();
        let locks_of_device = devices.0.entry(device).or_default();
        locks_of_device.remove_expired(device, now, is_open);
        let abandoned = &mut locks_of_device.abandoned;
        match abandoned.iter_mut().find(|(of, _)| *of == num) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                abandoned.push((num, 1));
                1
            }
        }
    }
}

/// Whether a command of a device has not ended.
pub(super) type IsOpen<'a> = &'a dyn Fn(DeviceNum, u64) -> bool;

impl DeviceLocks {
    /// Removes locks that have expired and commands that have ended. Returns `false` if nothing remains.
    fn remove_expired(&mut self, device: DeviceNum, now: Instant, is_open: IsOpen<'_>) -> bool {
        self.locks.retain(|lock| lock.until > now && is_open(device, lock.num));
        self.abandoned.retain(|(num, _)| is_open(device, *num));
        !self.locks.is_empty() || !self.abandoned.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: DeviceNum = DeviceNum(1);

    #[test]
    fn a_command_is_held_by_one_until_it_is_given_back_or_its_minute_is_over() {
        let (locks, now, open) = (CommandLocks::default(), Instant::now(), |_, _| true);
        let (token, abandoned) = locks.lock(LAMP, 7, "c", now, &open).unwrap();
        assert_eq!(abandoned, 0);
        assert!(locks.lock(LAMP, 7, "c", now, &open).is_none(), "another caller holds it");
        assert!(locks.release(DeviceNum(2), &token, now).is_none(), "another device");
        assert!(locks.release(LAMP, &token, now + LOCK_TIMEOUT).is_none(), "its minute is over");
        assert_eq!(locks.release(LAMP, &token, now), Some((7, "c".to_owned())));
        assert!(locks.release(LAMP, &token, now).is_none(), "twice");
        assert_eq!([(); 2].map(|()| locks.abandon(LAMP, 7, now, &open)), [1, 2]);
        let (_, abandoned) = locks.lock(LAMP, 7, "c", now, &open).unwrap();
        assert_eq!(abandoned, 2);
        assert!(locks.lock(LAMP, 7, "c", now + LOCK_TIMEOUT, &open).is_some(), "the minute is over");
    }

    #[test]
    fn a_device_holds_so_many_and_what_has_ended_is_forgotten() {
        let (locks, now) = (CommandLocks::default(), Instant::now());
        let most = COMMANDS_IN_FLIGHT as u64;
        assert!((1..=most).all(|num| locks.lock(LAMP, num, "c", now, &|_, _| true).is_some()));
        assert!(locks.lock(LAMP, most + 1, "c", now, &|_, _| true).is_none());
        locks.abandon(LAMP, 3, now, &|_, _| true);
        assert!(locks.lock(LAMP, most + 1, "c", now, &|_, num| num > most).is_some());
        let devices = locks.devices.lock();
        assert_eq!((devices.0[&LAMP].locks.len(), devices.0[&LAMP].abandoned.len()), (1, 0));
    }

    #[test]
    fn devices_that_hold_nothing_any_more_take_no_memory() {
        let (locks, now) = (CommandLocks::default(), Instant::now());
        for device in 0..10 * CLEANUP_DEVICES as u64 {
            let later = now + LOCK_TIMEOUT * u32::try_from(device).unwrap();
            assert!(locks.lock(DeviceNum(device), 1, "c", later, &|_, _| true).is_some());
        }
        assert!(locks.devices.lock().0.len() <= CLEANUP_DEVICES);
    }
}
