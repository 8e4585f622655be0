//! Native unit tests of plugins, without a host: a [`Harness`] runs the plugin as the host does, and a [`FakeHost`] answers its
//! calls and records its effects. It refuses what a host with default settings refuses, with the host's own code, and drops the
//! effects of a failed event. It measures no time and no memory, and has no rates, no retries and no broker.

mod fake;
mod harness;
mod migrations;
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
