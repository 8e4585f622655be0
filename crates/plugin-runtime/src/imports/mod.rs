//! What guests call, one file a capability. Each call is counted, then checked against the grants, then done; an effect
//! is only noted.

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

use self::args::Arg;
use super::{
    bindings::imports::switchbox::plugin::types::{self, Error},
    current::{LastGranted, Phase},
    grants::Capability,
    host::Host,
    limits::names,
    sandbox::State,
};
use switchbox_model::{DeviceName, DeviceNum, limits::LIST_ENTRIES};

impl types::Host for State {}

impl State {
    /// Counts a call that reads, and checks its arguments.
    fn admit<const N: usize>(&mut self, args: [Arg; N]) -> Result<Arc<dyn Host>, Error> {
        let most = self.setup.limits.host_calls;
        if self.current.host_calls >= most {
            return Err(Error::Limit(self.current.hit(names::HOST_CALLS, &format!("{most} calls for one event"))));
        }
        self.current.host_calls += 1;
        args::check(&mut self.current, &args)?;
        self.host.clone().ok_or_else(|| Error::Unavailable("`describe` must call nothing".into()))
    }

    /// Counts a call that makes something happen, and checks its arguments.
    fn admit_effect<const N: usize>(&mut self, args: [Arg; N]) -> Result<Arc<dyn Host>, Error> {
        let host = self.admit(args)?;
        match self.current.phase {
            Phase::Event => Ok(host),
            Phase::Start | Phase::Describe => {
                Err(Error::Unavailable("there is no event to do this for: `start` may only read".into()))
            }
        }
    }

    /// Reads a device reference and asks the grants.
    fn granted(&mut self, capability: Capability, device: &str) -> Result<DeviceName, Error> {
        self.last_granted(capability, device).cloned()
    }

    /// Both give the same answer every time, so the last one is kept: mostly a plugin speaks to the same device again.
    fn last_granted(&mut self, capability: Capability, device: &str) -> Result<&DeviceName, Error> {
        let home = &self.current.home;
        let asked =
            |last: &LastGranted| last.capability == capability && last.home == *home && last.reference == device;
        let last = match self.current.granted.take().filter(asked) {
            Some(last) => last,
            None => {
                let name = self.ask_grants(capability, device)?;
                let (reference, home) = (device.to_owned(), self.current.home.clone());
                LastGranted { capability, home, reference, name }
            }
        };
        Ok(&self.current.granted.insert(last).name)
    }

    fn ask_grants(&self, capability: Capability, device: &str) -> Result<DeviceName, Error> {
        let name = DeviceName::parse(device, &self.current.home).map_err(|error| Error::Invalid(error.to_string()))?;
        self.setup.grants.device(capability, &name, &self.current.home).map_err(Error::Denied)?;
        Ok(name)
    }

    /// Notes room for one effect more.
    fn room_for_effect(&mut self) -> Result<(), Error> {
        let most = self.setup.limits.effects_per_event;
        self.current.effect(most).map_err(Error::Limit)
    }
}

fn found(host: &dyn Host, name: &DeviceName) -> Result<DeviceNum, Error> {
    host.resolve(name).ok_or_else(|| no_such_device(name))
}

fn no_such_device(name: &DeviceName) -> Error {
    Error::NotFound(format!("there is no device {name}"))
}

/// It is within its bound already.
fn list_size(limit: u32) -> Result<usize, Error> {
    match limit {
        0 => Err(Error::Invalid(format!("limit 0 is not between 1 and {LIST_ENTRIES}"))),
        limit => Ok(limit as usize),
    }
}

/// The version or revision that a caller expects.
fn expect(expected: Option<u64>, in_force: impl FnOnce() -> u64) -> Result<(), Error> {
    let Some(expected) = expected else { return Ok(()) };
    let in_force = in_force();
    if in_force == expected { Ok(()) } else { Err(Error::Conflict(in_force)) }
}
