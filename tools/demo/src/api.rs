//! Calls of the host's API in the scenes.

use serde_json::Value;

use super::host_location::HostLocation;
use switchbox_cli::client::Client;

/// A call of the host's API, which blocks.
pub(super) async fn call(
    location: &HostLocation,
    ask: impl FnOnce(Client) -> anyhow::Result<Value> + Send + 'static,
) -> Result<Value, String> {
    let client = Client::of(&location.admin, None, &location.data);
    let result = tokio::task::spawn_blocking(move || ask(client)).await;
    result.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}
