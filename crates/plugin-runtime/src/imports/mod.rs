//! The host functions, one file per interface. Each call is counted and executed; an effect is only collected. Calls on devices and
//! topics are checked against the grants; `state`, `timer` and `log` need none.

mod args;
mod command;
mod config;
mod log;
mod method;
mod registry;
mod state;
mod timer;
mod topic;
mod twin;

use std::sync::Arc;

use super::{
    bindings::imports::switchbox::plugin::types::{self, Error},
    call_state::{LastGranted, Phase},
    grants::Capability,
    host::HostCalls,
    limits::Line,
    sandbox::StoreData,
};
use switchbox_model::{DeviceName, DeviceNum, limits::MIGRATION_CALLS};
use switchbox_rules::calls::{self, Arg, Refusal};

impl types::Host for StoreData {}

impl StoreData {
    /// Counts a call and checks its arguments.
    fn admit<const N: usize>(&mut self, args: [Arg; N]) -> Result<Arc<dyn HostCalls>, Error> {
        let migrates = self.call.phase == Phase::Migration;
        let most = if migrates { MIGRATION_CALLS } else { self.setup.limits.host_calls };
        if self.call.host_calls >= most {
            let refusal = if migrates { calls::too_many_migration_calls() } else { calls::too_many_calls(most) };
            return Err(self.call.refused(refusal));
        }
        self.call.host_calls += 1;
        calls::check(&args).map_err(|refusal| self.call.refused(refusal))?;
        self.host.clone().ok_or_else(|| Error::Unavailable("`describe` must call nothing".into()))
    }

    /// As `admit`, for a call with an effect, which needs an event.
    fn admit_effect<const N: usize>(&mut self, args: [Arg; N]) -> Result<Arc<dyn HostCalls>, Error> {
        let host = self.admit(args)?;
        match self.call.phase {
            Phase::Event => Ok(host),
            Phase::Migration => Err(Error::Unavailable("a migration may change the plugin's own state only".into())),
            Phase::Start | Phase::Describe => {
                Err(Error::Unavailable("there is no event to do this for: `start` may only read".into()))
            }
        }
    }

    /// As `admit`, for a write of the plugin's own state.
    fn admit_write<const N: usize>(&mut self, args: [Arg; N]) -> Result<Arc<dyn HostCalls>, Error> {
        if self.call.phase == Phase::Migration { self.admit(args) } else { self.admit_effect(args) }
    }

    /// Parses a device reference and checks the grants.
    fn check_device(&mut self, capability: Capability, device: &str) -> Result<DeviceName, Error> {
        self.check_device_cached(capability, device).cloned()
    }

    /// The last result is cached, because a plugin mostly acts on the same device again.
    fn check_device_cached(&mut self, capability: Capability, device: &str) -> Result<&DeviceName, Error> {
        let home = &self.call.home;
        let is_same =
            |last: &LastGranted| last.capability == capability && last.home == *home && last.reference == device;
        let last = match self.call.granted.take().filter(is_same) {
            Some(last) => last,
            None => {
                let name = self.check_grants(capability, device)?;
                let (reference, home) = (device.to_owned(), self.call.home.clone());
                LastGranted { capability, home, reference, name }
            }
        };
        Ok(&self.call.granted.insert(last).name)
    }

    fn check_grants(&self, capability: Capability, device: &str) -> Result<DeviceName, Error> {
        let name = DeviceName::parse(device, &self.call.home).map_err(|error| Error::Invalid(error.to_string()))?;
        let granted = self.setup.grants.device(capability, &name, &self.call.home);
        self.host.iter().for_each(|host| host.grant_checked(capability, device, granted.is_ok()));
        granted.map_err(Error::Denied)?;
        Ok(name)
    }

    /// Returns an error if the event may have no more effects.
    fn check_effects(&mut self) -> Result<(), Error> {
        let most = self.setup.limits.effects_per_event;
        if self.call.effects.len() + self.call.kv.len() >= most as usize {
            return Err(self.call.refused(calls::too_many_effects(most)));
        }
        Ok(())
    }

    /// The error of a call that waits for a device when the event may wait no longer.
    fn waited_too_long(&mut self) -> Error {
        let (limits, line) = (&self.setup.limits, Line::HostCallTime);
        let text = format!("{:?} of waiting for devices for one event{}", limits.host_call_time, limits.raise(line));
        Error::Limit(self.call.hit(line.limit(), &text))
    }

    /// The result of a check of arguments, with the limit counted that the call has hit.
    fn checked<T>(&mut self, checked: Result<T, Refusal>) -> Result<T, Error> {
        checked.map_err(|refusal| self.call.refused(refusal))
    }
}

fn found(host: &dyn HostCalls, name: &DeviceName) -> Result<DeviceNum, Error> {
    host.resolve(name).ok_or_else(|| no_such_device(name))
}

fn no_such_device(name: &DeviceName) -> Error {
    Error::NotFound(calls::no_device(name))
}

/// Checks the version or revision that a caller expects.
fn expect(expected: Option<u64>, in_force: impl FnOnce() -> u64) -> Result<(), Error> {
    let Some(expected) = expected else { return Ok(()) };
    let in_force = in_force();
    if in_force == expected { Ok(()) } else { Err(Error::Conflict(in_force)) }
}
