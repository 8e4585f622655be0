//! Log lines of the execution.

use super::super::{
    bindings::imports::switchbox::plugin::log::{Host, Level},
    sandbox::StoreData,
};

impl Host for StoreData {
    fn write(&mut self, level: Level, message: String) {
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        // `Output` cuts a line that is too long, as it does with standard output.
        self.output.log(level, &message);
    }
}
