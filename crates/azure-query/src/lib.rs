//! The query language of Azure IoT Hub over `devices`. It parses and checks a query, and evaluates it over twins that the caller
//! provides. It performs no IO, and it is bounded in length, depth, items and groups.

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
pub use path::NeededDocuments;
pub use query::Query;
