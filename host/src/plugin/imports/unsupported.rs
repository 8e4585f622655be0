//! The capabilities that this host does not have yet. What needs a grant is refused without it here too.

use super::super::{
    bindings::imports::switchbox::plugin::{
        timer::{self, Schedule},
        types::Error,
    },
    sandbox::State,
};

fn unsupported<T>(what: &str) -> Result<T, Error> {
    Err(Error::Unsupported(format!("{what} is not supported by this host yet")))
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
