//! What the host's calls take and give.

use crate::bindings::switchbox::plugin::{command, config, log, method, registry, state, timer, topic};

pub use command::Options as CommandOptions;
pub use config::Version as ConfigVersion;
pub use log::Level;
pub use method::Response;
pub use registry::Device;
pub use state::Entry;
pub use timer::{Cron, Schedule};
pub use topic::Options as PublishOptions;
