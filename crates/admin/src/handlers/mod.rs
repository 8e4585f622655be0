//! The handlers of the calls. A handler reads the arguments, calls the part of the host that does the work, and converts the answer.

pub(super) mod approvals;
pub(super) mod bridge;
pub(super) mod canary;
pub(super) mod dead_letters;
pub(super) mod devices;
pub(super) mod dry_run;
pub(super) mod enrollments;
pub(super) mod explain;
pub(super) mod files;
pub(super) mod follow;
pub(super) mod gateways;
pub(super) mod grant;
pub(super) mod health;
pub(super) mod history;
pub(super) mod hub;
mod lookup;
pub(super) mod plugins;
pub(super) mod registration;
pub(super) mod registries;
pub(super) mod rollback;
pub(super) mod services;
pub(super) mod shadow;
pub(super) mod status;
pub(super) mod tokens;
pub(super) mod topic_follow;
pub(super) mod topics;
pub(super) mod twin;

use super::error::Error;
use switchbox_model::{PluginName, RegistryName};

/// The path of a registry: project, location, registry.
type RegistryPath = axum::extract::Path<(String, String, String)>;
/// The path of a device: project, location, registry and device.
type DevicePath = axum::extract::Path<(String, String, String, String)>;

fn registry_name(p: &str, l: &str, r: &str) -> Result<RegistryName, Error> {
    Ok(RegistryName::of(p, l, r)?)
}

/// Looks up something of the plugin of this name. The error for a missing one names it as `what`.
fn of_plugin<T>(name: &str, what: &str, find: impl FnOnce(&PluginName) -> Option<T>) -> Result<T, Error> {
    let name = PluginName::new(name)?;
    find(&name).ok_or_else(|| Error::not_found(format!("{what} of plugin {name}")))
}

/// Logs the warnings that the caller gets.
fn log_warnings(what: &dyn std::fmt::Display, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(%what, warning, "a call of the admin API was accepted with a warning");
    }
}
