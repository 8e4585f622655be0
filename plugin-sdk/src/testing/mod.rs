//! Native unit tests of plugins, without a host: a [`Harness`] runs the plugin as the host does, and a [`FakeHost`] answers its
//! calls and records its effects. Descriptions, triggers, grants, filters, globs, arguments, limits, twin documents and bounds on what is
//! logged are those of a host with default settings, as both run the same code. The effects of a failed event are dropped.
//!
//! What a host does and this does not:
//! * It measures neither time nor memory: no deadlines, no `memory`, no `host-call-time`.
//! * It has no rates and no approvals, and does not try an event again that the plugin asks to retry.
//! * It has no broker: a published message triggers nothing, and a command ends in no event. Commands to a connected device count as
//!   acknowledged at once, so only those to a device that is not connected fill its queue.
//! * A device acknowledges no config, and `acknowledgedVersion` is missing in its twin.
//! * What a plugin prints goes to the test's output; only its log lines are bounded.
//! * A schema of settings, imports of the component and its size are checked by a host alone.
//! * The operator's settings are not known: the plugin has all grants that it asks for, its own triggers, and default limits.

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
