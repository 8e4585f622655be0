//! The versions of plugins that have run on this host: a history for each plugin, and the components by their digests, in one
//! folder of the data folder. A built-in component is not kept, as it changes with the host alone. Every call blocks for as long
//! as the disk takes. Runs nothing.

mod components;
mod history;
mod migrate;
mod version;

pub use history::History;
pub use version::{NewVersion, RolledBack, Summary, TimeInForce, Version};
