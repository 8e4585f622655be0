//! A device's config and state read together: desired and reported, where they differ and since when, and desired after
//! changes. Pure: it computes with documents and stores none. What the documents are as JSON is in `switchbox_rules::json`, and the
//! twin document is made in `switchbox_rules::twin`.

mod desired;
mod differs;

use std::collections::BTreeMap;

use switchbox_rules::twin;
use switchbox_store::{ConfigVersion, StateVersion};

pub use desired::{Desired, patched};
pub use differs::differs;
pub use switchbox_rules::{
    json::{InvalidTolerance, PatchError, Tolerance},
    twin::{Difference, TOLERANCE, Twin},
};

/// The tolerance with which the twin of a device with this metadata is compared, unless the caller names another one.
pub fn tolerance(metadata: &BTreeMap<String, String>) -> Result<Tolerance, InvalidTolerance> {
    twin::tolerance(metadata.get(TOLERANCE).map(String::as_str))
}

/// The twin document. Both lists are newest first, as the store has them.
#[must_use]
pub fn document<'a>(configs: &'a [ConfigVersion], states: &'a [StateVersion], tolerance: Tolerance) -> Twin<'a> {
    let of_config = |config: &ConfigVersion| (config.version, config.time_ms, config.acknowledged_ms);
    let desired: Vec<_> = configs.iter().map(|config| kept_version(of_config(config), &config.payload)).collect();
    let reported: Vec<_> =
        states.iter().map(|state| kept_version((state.version, state.time_ms, None), &state.payload)).collect();
    twin::document(&desired, &reported, tolerance)
}

fn kept_version((number, time_ms, acknowledged_ms): (u64, u64, Option<u64>), payload: &[u8]) -> twin::KeptVersion<'_> {
    twin::KeptVersion { number, time_ms, payload, acknowledged_ms }
}
