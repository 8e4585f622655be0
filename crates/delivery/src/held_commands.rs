//! Which commands a device has fetched and holds, and how often it gave them back. In memory only.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use switchbox_model::{DeviceNum, limits::COMMANDS_IN_FLIGHT};

/// How long a command that was fetched is not given to anybody else.
const HELD_FOR: Duration = Duration::from_secs(60);
/// Devices that hold something are looked through for those that do not any more when there are so many, and then each time
/// they are twice as many as were left.
const LOOK_THROUGH: usize = 1_024;
/// Commands that are remembered as given back too often.
const GIVEN_UP: usize = 1_024;

struct Held {
    num: u64,
    id: String,
    token: String,
    until: Instant,
}

#[derive(Default)]
struct OfDevice {
    held: Vec<Held>,
    /// Numbers of commands that were given back, with how often.
    given_back: Vec<(u64, u32)>,
}

/// What devices hold.
#[derive(Default)]
pub(super) struct HeldCommands {
    devices: Mutex<(HashMap<DeviceNum, OfDevice>, usize)>,
    /// Commands that were given back too often, the newest last.
    given_up: Mutex<VecDeque<(DeviceNum, u64)>>,
}

impl HeldCommands {
    /// Gives the command to the device. `None`: the device, or another caller in its name, holds it, or holds as many as it may.
    pub(super) fn hold(
        &self,
        device: DeviceNum,
        num: u64,
        id: &str,
        now: Instant,
        is_open: IsOpen<'_>,
    ) -> Option<(String, u32)> {
        let mut devices = self.devices.lock();
        let (devices, look_at) = &mut *devices;
        if devices.len() >= LOOK_THROUGH.max(*look_at) {
            devices.retain(|device, of_device| of_device.is_used(*device, now, is_open));
            *look_at = 2 * devices.len();
        }
        let of_device = devices.entry(device).or_default();
        of_device.is_used(device, now, is_open);
        if of_device.held.len() >= COMMANDS_IN_FLIGHT || of_device.held.iter().any(|held| held.num == num) {
            return None;
        }
        let token = format!("{:016x}{:016x}", getrandom::u64().ok()?, getrandom::u64().ok()?);
        of_device.held.push(Held { num, id: id.to_owned(), token: token.clone(), until: now + HELD_FOR });
        let given_back = of_device.given_back.iter().find(|(given, _)| *given == num).map_or(0, |(_, times)| *times);
        Some((token, given_back))
    }

    /// The command's number and id, which nobody holds any more.
    pub(super) fn release(&self, device: DeviceNum, token: &str, now: Instant) -> Option<(u64, String)> {
        let mut devices = self.devices.lock();
        let held = &mut devices.0.get_mut(&device)?.held;
        let at = held.iter().position(|held| held.token == token && held.until > now)?;
        let held = held.swap_remove(at);
        Some((held.num, held.id))
    }

    pub(super) fn give_up(&self, device: DeviceNum, num: u64) {
        let mut given_up = self.given_up.lock();
        if given_up.len() == GIVEN_UP {
            given_up.pop_front();
        }
        given_up.push_back((device, num));
    }

    pub(super) fn was_given_up(&self, device: DeviceNum, num: u64) -> bool {
        self.given_up.lock().contains(&(device, num))
    }

    /// How often it was given back, this time included.
    pub(super) fn give_back(&self, device: DeviceNum, num: u64) -> u32 {
        let mut devices = self.devices.lock();
        let given_back = &mut devices.0.entry(device).or_default().given_back;
        match given_back.iter_mut().find(|(given, _)| *given == num) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                given_back.push((num, 1));
                1
            }
        }
    }
}

/// Whether a command of a device has not ended.
pub(super) type IsOpen<'a> = &'a dyn Fn(DeviceNum, u64) -> bool;

impl OfDevice {
    /// Forgets what is over. Returns `false` if nothing is left.
    fn is_used(&mut self, device: DeviceNum, now: Instant, is_open: IsOpen<'_>) -> bool {
        self.held.retain(|held| held.until > now && is_open(device, held.num));
        self.given_back.retain(|(num, _)| is_open(device, *num));
        !self.held.is_empty() || !self.given_back.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: DeviceNum = DeviceNum(1);

    #[test]
    fn a_command_is_held_by_one_until_it_is_given_back_or_its_minute_is_over() {
        let (fetching, now, open) = (HeldCommands::default(), Instant::now(), |_, _| true);
        let (token, given_back) = fetching.hold(LAMP, 7, "c", now, &open).unwrap();
        assert_eq!(given_back, 0);
        assert!(fetching.hold(LAMP, 7, "c", now, &open).is_none(), "another caller holds it");
        assert!(fetching.release(DeviceNum(2), &token, now).is_none(), "another device");
        assert!(fetching.release(LAMP, &token, now + HELD_FOR).is_none(), "its minute is over");
        assert_eq!(fetching.release(LAMP, &token, now), Some((7, "c".to_owned())));
        assert!(fetching.release(LAMP, &token, now).is_none(), "twice");
        assert_eq!([(); 2].map(|()| fetching.give_back(LAMP, 7)), [1, 2]);
        let (_, given_back) = fetching.hold(LAMP, 7, "c", now, &open).unwrap();
        assert_eq!(given_back, 2);
        assert!(fetching.hold(LAMP, 7, "c", now + HELD_FOR, &open).is_some(), "the minute is over");
    }

    #[test]
    fn a_device_holds_so_many_and_what_has_ended_is_forgotten() {
        let (fetching, now) = (HeldCommands::default(), Instant::now());
        let most = COMMANDS_IN_FLIGHT as u64;
        assert!((1..=most).all(|num| fetching.hold(LAMP, num, "c", now, &|_, _| true).is_some()));
        assert!(fetching.hold(LAMP, most + 1, "c", now, &|_, _| true).is_none());
        fetching.give_back(LAMP, 3);
        assert!(fetching.hold(LAMP, most + 1, "c", now, &|_, num| num > most).is_some());
        let devices = fetching.devices.lock();
        assert_eq!((devices.0[&LAMP].held.len(), devices.0[&LAMP].given_back.len()), (1, 0));
    }

    #[test]
    fn devices_that_hold_nothing_any_more_take_no_memory() {
        let (fetching, now) = (HeldCommands::default(), Instant::now());
        for device in 0..10 * LOOK_THROUGH as u64 {
            let later = now + HELD_FOR * u32::try_from(device).unwrap();
            assert!(fetching.hold(DeviceNum(device), 1, "c", later, &|_, _| true).is_some());
        }
        assert!(fetching.devices.lock().0.len() <= LOOK_THROUGH);
    }
}
