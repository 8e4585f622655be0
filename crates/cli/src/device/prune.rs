//! `switchbox device prune`: takes devices away that nobody registered and that were never used.

use serde_json::{Value, json};

use crate::{client::Client, url::escape};

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
    let body = json!({"neverUsed": options.never_used, "dryRun": options.dry_run});
    let answer = client.post(&escape(&format!("/v1/{}:pruneDevices", client.home()?)), &body)?;
    let pruned = answer.get("pruned").and_then(Value::as_u64).unwrap_or(0);
    let ids = answer.get("deviceIds").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut text = ids.fold(String::new(), |text, id| text + id + "\n");
    text.push_str(&format!("{pruned} device(s) {}", if options.dry_run { "would go" } else { "are deleted" }));
    Ok((answer, text))
}
