//! `switchbox device prune`: deletes devices that enrolled by themselves and were never used.

use serde_json::Value;

use crate::{answer::typed, client::Client, url::escape};
use switchbox_admin_api::{PruneDevicesRequest, PruneDevicesResponse};

/// Delete devices that enrolled by themselves, were never used, and are not connected
#[derive(Debug, clap::Args)]
pub(super) struct Prune {
    /// Required, as a safeguard
    #[arg(long, required = true)]
    never_used: bool,
    /// List them without deleting them
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(client: &Client, options: &Prune) -> anyhow::Result<(Value, String)> {
    let body = PruneDevicesRequest { never_used: options.never_used, dry_run: options.dry_run };
    let answer = client.post(&escape(&format!("/v1/{}:pruneDevices", client.home()?)), &body)?;
    let PruneDevicesResponse { pruned, device_ids } = typed(&answer)?;
    let mut text = device_ids.iter().fold(String::new(), |text, id| text + id + "\n");
    text.push_str(&format!("{pruned} device(s) {}", if options.dry_run { "would go" } else { "are deleted" }));
    Ok((answer, text))
}
