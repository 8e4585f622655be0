//! The commands that use a running host, and those that need none. Each one parses its arguments, calls the host's API and prints
//! the answer. The commands that run or repair a host are in the program itself.

mod admin_token;
mod advice;
mod answer;
mod approvals;
mod audit;
mod authority;
pub mod cert;
pub mod client;
mod command;
#[cfg(test)]
mod command_tests;
pub mod context;
mod credential;
mod dead_letters;
mod device;
mod enrollment;
mod events;
mod example;
mod exit;
mod explain;
mod file;
#[cfg(test)]
mod first_use_tests;
mod gateway;
mod host;
mod hub;
pub mod language;
mod line_diff;
pub mod log;
mod names;
mod on_host;
mod payload;
mod plugin;
mod plugin_build;
mod plugin_canary;
mod plugin_logs;
pub mod plugin_new;
mod plugin_record;
mod plugin_replay;
mod plugin_shadow;
mod plugin_test;
mod plugin_try;
mod plugin_versions;
mod printed;
mod public_key;
mod readable;
mod reference;
mod registry;
mod runtime;
mod service;
mod since;
mod status;
mod table;
mod token;
pub mod trust;
mod url;
mod when;

pub use command::{Command, run};
pub use exit::code;
pub use printed::{chain, show};
pub use reference::{Completions, Man, completions, man};
pub use runtime::{block_on, interrupted};
