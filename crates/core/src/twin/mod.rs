//! A device's config and state read together: desired and reported, where they differ and since when, and desired after
//! changes. Pure: it computes with documents and stores none. What the documents are as JSON is in `switchbox_rules::json`.

mod desired;
mod differs;
mod document;

use std::collections::BTreeMap;

pub use desired::{Desired, patched};
pub use differs::differs;
pub use document::{Twin, document};
pub use switchbox_rules::json::{InvalidTolerance, PatchError, Tolerance};

/// The device metadata that holds the tolerance with which its twin is compared.
pub const TOLERANCE: &str = "twin-tolerance";

/// With what tolerance the twin of a device with this metadata is compared, unless the caller names another one.
pub fn tolerance(metadata: &BTreeMap<String, String>) -> Result<Tolerance, InvalidTolerance> {
    metadata.get(TOLERANCE).map_or(Ok(Tolerance::EXACT), |text| text.parse())
}
