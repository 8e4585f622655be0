//! Native unit tests of plugins, without a host: a [`Harness`] runs the plugin as the host does, a [`FakeHost`] answers
//! its calls and keeps what it did. Checks grants and versions and undoes what a failed event did; has no limits, no
//! retries and no broker.

mod fake;
mod harness;
mod patterns;
mod world;

#[cfg(test)]
mod tests;

pub use fake::FakeHost;
pub use harness::Harness;
pub use world::{SentCommand, SentMessage};
