//! Native unit tests of plugins, without a host: a [`Harness`] runs the plugin as the host does, a [`FakeHost`] answers
//! its calls and keeps what it did. Refuses what a host with its default settings refuses, with the host's own code, and drops what a
//! failed event did. Measures no time and no memory, and has no rates, no retries and no broker.

mod fake;
mod harness;
mod patterns;
mod sent;
mod staged;
mod staging;
mod world;

#[cfg(test)]
mod tests;

/// The plugin's name on the fake host.
const PLUGIN: &str = "plugin-under-test";

pub use fake::FakeHost;
pub use harness::Harness;
pub use sent::{SentCommand, SentMessage};
