//! The lifecycle of a plugin, as recorded in the journal.

use serde::{Deserialize, Serialize};

use switchbox_rules::names::Seq;

use super::{cause::EffectKey, effect::KvWrite, timer::Timer};

/// Which component a plugin is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name that the component gives itself. A component with another one is another plugin.
    pub kind: String,
    /// `sha256:…` of the component.
    pub digest: String,
}

/// A timer with the effect that set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetTimer {
    pub timer: Timer,
    pub by: Option<EffectKey>,
}

/// A change in the lifecycle of one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PluginChange {
    /// It sees events from this one on, with the state and the timers that it had.
    On { from: Seq, identity: Identity },
    /// Another component of the same kind replaced the previous one.
    Upgraded { identity: Identity },
    /// It sees no events from now on; its state and its timers stay. `due_again` are timers whose events it has not handled.
    Off {
        time_ms: u64,
        /// Its files are gone.
        removed: bool,
        due_again: Vec<SetTimer>,
    },
    /// Its state and its timers are deleted.
    Deleted,
    /// A new version failed in its first events, and the version before it is in force again; `None` ends that.
    RolledBack(Option<RolledBack>),
    /// Its state has another schema, because a version that keeps it so comes into force.
    Migrated(Migration),
}

/// The state of a plugin was brought to another schema, in one change with the switch to a version that keeps it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    pub schema: u32,
    pub writes: Vec<KvWrite>,
    /// The component that comes into force. `None` if the version before is in force again.
    pub identity: Option<Identity>,
    /// The version that the guard rolled back, if it is the reason.
    pub rolled_back: Option<RolledBack>,
}

/// Which version was rolled back, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    /// `sha256:…` of the component that failed.
    pub digest: String,
    /// Identifies the component and all of its settings.
    pub version: String,
    /// Identifies the component and the settings that are in force instead. The same as `version`: it stays in force, because its
    /// migration of the state cannot be undone, or because its settings take a grant or a limit away from the version before.
    pub instead: String,
    pub error: String,
    pub time_ms: u64,
}

impl RolledBack {
    /// Whether the version failed and stays in force nevertheless.
    #[must_use]
    pub fn is_still_in_force(&self) -> bool {
        self.instead == self.version
    }
}
