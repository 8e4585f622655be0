//! Numbers of devices.

use axum::{Extension, Json, extract::State};
use serde_json::{Value, json};

use crate::app::{App, Caller};
use switchbox_core::registry::Device;

/// Devices that are counted before the task yields.
const CHUNK: usize = 1_000;

/// Counts all devices of the hub, and those for which `holds` is true.
async fn count(app: &App, caller: &Caller, holds: impl Fn(&Device) -> bool) -> (usize, usize) {
    let (mut all, mut found, mut after) = (0, 0, None);
    loop {
        let devices = app.handles.registry.list(&caller.registry, after.as_ref(), CHUNK, &|_| true).unwrap_or_default();
        all += devices.len();
        found += devices.iter().filter(|device| holds(device)).count();
        after = match devices.last() {
            Some(last) => Some(last.name.id.clone()),
            None => return (all, found),
        };
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn devices(State(app): State<App>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let (all, disabled) = count(&app, &caller, |device| device.spec().blocked).await;
    let enabled = all - disabled;
    Json(json!({ "totalDeviceCount": all, "enabledDeviceCount": enabled, "disabledDeviceCount": disabled }))
}

pub(crate) async fn service(State(app): State<App>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let (_, connected) = count(&app, &caller, |device| app.handles.delivery.is_connected(device.num)).await;
    Json(json!({ "connectedDeviceCount": connected }))
}
