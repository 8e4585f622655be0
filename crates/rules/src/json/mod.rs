//! JSON documents of devices, as text: parsing into slices of the text, merge patch (RFC 7396), comparison, differences.
//! The host and the SDK's fake host share this code. It keeps the bytes of what it does not change, and it compares
//! numbers exactly, so it never converts a number to a machine type.
//!
//! ```
//! let desired = r#"{"z": 1.50, "id": 12345678901234567890123}"#;
//! let patched = switchbox_rules::json::patched(desired.as_bytes(), br#"{"on": true}"#, 1024);
//! assert_eq!(patched.unwrap().unwrap(), r#"{"z": 1.50, "id": 12345678901234567890123,"on":true}"#);
//! ```

mod compare;
mod differ;
mod lenient;
mod merge;
mod number;
mod parse;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use compare::{InvalidTolerance, Tolerance, fulfils, same};
pub use differ::{Difference, Differences, differences};
pub use lenient::{explain, to_serde};
pub use merge::{PatchError, patched};
pub use parse::{DEPTH, Invalid, object, parse, parse_within};
pub use value::{Kind, Member, Object, Value};
pub use write::{compact, pretty};
