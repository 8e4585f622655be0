//! The grants and triggers of a plugin, as text.

use switchbox_dispatch::PluginStatus;
use switchbox_plugin_runtime::{GrantRequest, Trigger};
use switchbox_plugin_versions::Summary;

/// The summary of a running plugin for its history. It has no imports.
pub(crate) fn summary(status: &PluginStatus) -> Summary {
    Summary {
        version: status.description.as_ref().map(|described| described.version.clone()).unwrap_or_default(),
        triggers: status.triggers.iter().map(trigger).collect(),
        grants: status.grants.iter().map(grant).collect(),
        grants_in_force: status.grants_in_force.iter().map(grant).collect(),
        imports: Vec::new(),
        state_schema: status.description.as_ref().map_or(0, |described| described.state.current),
    }
}

/// `EVENT DEVICE` or `EVENT DEVICE SUBFOLDER`, as in `telemetry lamp-* alarms`.
#[must_use]
pub fn trigger(trigger: &Trigger) -> String {
    let kind = serde_json::to_value(trigger.event).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
    match &trigger.subfolder {
        Some(subfolder) => format!("{kind} {} {subfolder}", trigger.device),
        None => format!("{kind} {}", trigger.device),
    }
}

/// `CAPABILITY PATTERN`, as in `config lamp-*`.
#[must_use]
pub fn grant(grant: &GrantRequest) -> String {
    format!("{} {}", grant.capability.as_str(), grant.pattern)
}
