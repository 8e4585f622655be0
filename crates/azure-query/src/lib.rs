//! The query language of Azure IoT Hub over `devices`: text to a checked query, and a query over twins to rows. Pure and bounded in
//! length, depth, items and groups. Never reads a device itself: the caller gives one twin after the other.

mod bounds;
mod condition;
mod error;
mod group;
mod parse;
mod path;
mod query;
mod select;
#[cfg(test)]
mod tests;
mod token;
mod value;

pub use bounds::{MAX_BYTES, MAX_DEPTH, MAX_GROUPS, MAX_ITEMS, MAX_PATH};
pub use error::QueryError;
pub use group::Groups;
pub use path::Needs;
pub use query::Query;
