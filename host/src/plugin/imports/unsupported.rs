//! The capabilities that this host does not have yet. What needs a grant is refused without it here too.

use super::super::{
    bindings::imports::switchbox::plugin::{
        timer::{self, Schedule},
        twin,
        types::Error,
    },
    grants::Capability,
    sandbox::State,
};

fn unsupported<T>(what: &str) -> Result<T, Error> {
    Err(Error::Unsupported(format!("{what} is not supported by this host yet")))
}

impl twin::Host for State {
    fn get(&mut self, device: String) -> Result<String, Error> {
        self.admit()?;
        self.granted(Capability::Read, &device)?;
        unsupported("twin.get")
    }

    fn patch_desired(&mut self, device: String, _patch: String, _expected: Option<u64>) -> Result<(), Error> {
        self.admit_effect()?;
        self.granted(Capability::Config, &device)?;
        unsupported("twin.patch-desired")
    }
}

impl timer::Host for State {
    fn set(&mut self, _name: String, _schedule: Schedule, _payload: Vec<u8>) -> Result<(), Error> {
        self.admit_effect()?;
        unsupported("timer.set")
    }

    fn cancel(&mut self, _name: String) -> Result<(), Error> {
        self.admit_effect()?;
        unsupported("timer.cancel")
    }
}
