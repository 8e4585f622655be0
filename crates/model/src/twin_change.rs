//! A change of a device's twin, as an entry of the journal holds it. What it makes of the documents is computed when it is applied.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use switchbox_rules::names::DeviceNum;

use super::{cause::Cause, effect::Effect};

/// Changes an object in the device's metadata and the device's config: both, or neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinChange {
    pub num: DeviceNum,
    /// The version of the config that must be in force (0: none yet).
    pub expected: Option<u64>,
    pub tags: Option<TagsChange>,
    pub desired: Option<DocumentChange>,
    pub cause: Cause,
    pub time_ms: u64,
}

/// The text under `key` of the metadata is a JSON object; any other text counts as an empty one. If the change leaves nothing in it,
/// the key is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagsChange {
    pub key: String,
    pub change: DocumentChange,
}

/// What a JSON object becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentChange {
    /// This object.
    Replaced(Bytes),
    /// What there is after this JSON merge patch (RFC 7396).
    Merged(Bytes),
}

impl DocumentChange {
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Replaced(bytes) | Self::Merged(bytes) => bytes,
        }
    }
}

impl TwinChange {
    /// What it does to the config.
    #[must_use]
    pub fn effect(&self) -> Option<Effect> {
        let (device, expected) = (self.num, self.expected);
        self.desired.clone().map(|change| match change {
            DocumentChange::Replaced(payload) => Effect::Config { device, payload, expected },
            DocumentChange::Merged(patch) => Effect::PatchDesired { device, patch, expected },
        })
    }
}
