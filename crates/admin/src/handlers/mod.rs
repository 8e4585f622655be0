//! What each call does: reads its arguments, asks the room, shows the answer.

pub(super) mod bridge;
pub(super) mod dead_letters;
pub(super) mod devices;
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
pub(super) mod tokens;
pub(super) mod twin;

use serde_json::{Map, Value};

use super::error::Error;
use switchbox_model::RegistryName;

/// The path of a registry: project, location, registry.
type RegistryPath = axum::extract::Path<(String, String, String)>;
/// The path of a device: the same, and the device.
type DevicePath = axum::extract::Path<(String, String, String, String)>;

fn registry_name(p: &str, l: &str, r: &str) -> Result<RegistryName, Error> {
    Ok(RegistryName::of(p, l, r)?)
}

/// A page of a list as Google's APIs show it: what is empty is left out.
fn insert_page(field: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut page = Map::new();
    if !items.is_empty() {
        page.insert(field.to_owned(), items.into());
    }
    page.extend(next.map(|next| ("nextPageToken".to_owned(), next.into())));
    Value::Object(page)
}

/// The answer with what the caller is to look at, which the log tells too. No warnings: the answer as it is.
fn warned(mut answer: Value, what: &dyn std::fmt::Display, warnings: &[String]) -> Value {
    for warning in warnings {
        tracing::warn!(%what, warning, "a call of the admin API was taken, with a warning");
    }
    if let (false, Some(fields)) = (warnings.is_empty(), answer.as_object_mut()) {
        fields.insert("warnings".to_owned(), warnings.into());
    }
    answer
}
