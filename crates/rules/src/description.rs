//! Checks what a component says of itself when it is loaded. The fake host of native tests refuses a plugin for the same reasons, with
//! the same text.

use crate::{
    grants::{EffectiveGrants, GrantRequest},
    limits::{SETTINGS_BYTES, plugin_names as names},
    trigger::{Trigger, Triggers},
};

/// Triggers and grants of a description, compiled.
#[derive(Debug, Clone)]
pub struct Checked {
    pub triggers: Triggers,
    /// As if the operator granted all that it asks for.
    pub grants: EffectiveGrants,
}

/// Checks that the patterns are globs and filters, that there are not too many of them, and that the default settings are JSON.
///
/// # Errors
///
/// A text that names the part that is wrong.
pub fn check(triggers: &[Trigger], grants: &[GrantRequest], default_settings: &str) -> Result<Checked, String> {
    check_settings(default_settings.len()).map_err(|error| format!("default-settings: {error}"))?;
    let triggers = Triggers::new(triggers).map_err(|error| format!("triggers: {error}"))?;
    let grants = EffectiveGrants::new(grants, None).map_err(|error| format!("grants: {error}"))?;
    serde_json::from_str::<serde_json::Value>(default_settings)
        .map_err(|error| format!("default-settings is not JSON: {error}"))?;
    Ok(Checked { triggers, grants })
}

/// Settings are copied into the guest and shown in the plugin's status, so they are bounded.
///
/// # Errors
///
/// A text that names the limit.
pub fn check_settings(bytes: usize) -> Result<(), String> {
    let limit = names::SETTINGS_BYTES;
    if bytes <= SETTINGS_BYTES {
        Ok(())
    } else {
        Err(format!("{bytes} bytes of JSON; the limit \"{limit}\" is {SETTINGS_BYTES}"))
    }
}
