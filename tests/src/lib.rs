//! The harness of the end-to-end tests: it starts the real program (or a host in this process) in a folder of its own, uses it as
//! devices do, and reads what it has written. It waits for conditions and never for a fixed time.

mod admin;
mod device;
mod guests;
mod host_folder;
pub mod hostile;
mod in_process;
mod journal;
mod keys;
mod memory;
mod process;
mod random;
pub mod raw;
mod terminal;
mod tools;
mod wait;

pub use admin::{Admin, AdminResponse};
pub use device::{Device, Message, Seen, Session};
pub use guests::{
    COUNTER, DEPUTY, HOSTILE, SCRIPTED, component_of, deputy, limited_scripted_plugin, migrant, scripted_plugin,
    stamped, subfolder_plugin,
};
pub use host_folder::HostFolder;
pub use in_process::InProcess;
pub use journal::{Execution, Journal};
pub use keys::{CLOSED, now, private_key, registered, token};
pub use process::{Process, program};
pub use random::{Random, crash_plan};
pub use switchbox_testing::{is_available, skip_on_this_system};
pub use terminal::{acts, has_terminal, on_a_terminal};
pub use tools::{more_descriptors, python_with, runs, workspace};
pub use wait::{LIMIT, until, until_within};

/// The topic of a device's telemetry.
#[must_use]
pub fn events(device: &str) -> String {
    format!("/devices/{device}/events")
}

/// The topic of a device's config.
#[must_use]
pub fn config(device: &str) -> String {
    format!("/devices/{device}/config")
}
