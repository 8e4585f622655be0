//! The windows of guards and the canaries as a host stores them, so that they continue after a restart. Only data.

use serde::{Deserialize, Serialize};

use super::behaviour::Behaviour;

/// The window of a guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardWindow {
    /// The id of the version that is under guard.
    pub version: String,
    /// The id of the version that comes back if it fails.
    pub before: String,
    /// Milliseconds since the Unix epoch.
    pub(super) since_ms: u64,
    /// The statistics of the version under guard.
    pub(super) of_version: Behaviour,
    /// The statistics of the version that comes back.
    pub(super) of_before: Behaviour,
}

/// A canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCanary {
    /// The id of the version in force.
    pub in_force: String,
    /// `sha256:…` of its component. Is `None` if it is the one in force.
    pub component: Option<String>,
    /// The text of its settings file. Is `None` if it is the one in force.
    pub(super) settings: Option<String>,
    /// The canary acts for this many of 10,000 devices.
    pub(super) share: Option<u64>,
    /// Or for those whose id matches this glob.
    pub(super) devices: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub(super) since_ms: u64,
    pub(super) behaviour: Behaviour,
}

/// The window of a plugin's guard and its canary, if it has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    pub guard: Option<GuardWindow>,
    pub canary: Option<StoredCanary>,
}

impl Windows {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guard.is_none() && self.canary.is_none()
    }
}
