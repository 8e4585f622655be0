//! What each call does: reads its arguments, asks the part of the host that does it, and converts the answer.

pub(super) mod approvals;
pub(super) mod bridge;
pub(super) mod canary;
pub(super) mod dead_letters;
pub(super) mod devices;
pub(super) mod dry_run;
pub(super) mod enrollments;
pub(super) mod explain;
pub(super) mod follow;
pub(super) mod gateways;
pub(super) mod grant;
pub(super) mod health;
pub(super) mod history;
pub(super) mod hub;
mod lookup;
pub(super) mod plugins;
pub(super) mod registries;
pub(super) mod rollback;
pub(super) mod services;
pub(super) mod status;
pub(super) mod tokens;
pub(super) mod topic_follow;
pub(super) mod topics;
pub(super) mod twin;

use super::error::Error;
use switchbox_model::RegistryName;

/// The path of a registry: project, location, registry.
type RegistryPath = axum::extract::Path<(String, String, String)>;
/// The path of a device: the same, and the device.
type DevicePath = axum::extract::Path<(String, String, String, String)>;

fn registry_name(p: &str, l: &str, r: &str) -> Result<RegistryName, Error> {
    Ok(RegistryName::of(p, l, r)?)
}

/// Tells the log what the caller of the API is to look at.
fn log_warnings(what: &dyn std::fmt::Display, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(%what, warning, "a call of the admin API was taken, with a warning");
    }
}
