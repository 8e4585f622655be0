//! Lines for the execution's record.

use super::super::{
    bindings::imports::switchbox::plugin::log::{Host, Level},
    sandbox::State,
};

impl Host for State {
    fn write(&mut self, level: Level, message: String) {
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        // What is too long is cut there, where standard output is too.
        self.output.log(level, &message);
    }
}
