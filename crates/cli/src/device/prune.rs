//! `switchbox device prune`: takes devices away that nobody registered and that were never used.

use serde_json::Value;

use crate::{answer::typed, client::Client, url::escape};
use switchbox_admin_api::{PruneDevicesRequest, PruneDevicesResponse};

/// Delete devices that enrolled by themselves, were never used, and are not connected
#[derive(Debug, clap::Args)]
pub(super) struct Prune {
    /// Needed, so that nothing goes by accident
    #[arg(long, required = true)]
    never_used: bool,
    /// Say which, and leave them
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
