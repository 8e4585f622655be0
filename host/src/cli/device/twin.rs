//! `switchbox device twin`: what a device should be, what it says it is, and where the two differ.

use clap::Subcommand;
use serde_json::Value;

use super::field;
use crate::cli::{
    client::{Client, data},
    table::table,
};

#[derive(Debug, Subcommand)]
pub(super) enum Twin {
    /// Show desired and reported, and where they differ
    Get { device: String },
    /// Change desired by a JSON merge patch (RFC 7396)
    Patch {
        device: String,
        /// The patch itself, such as '{"on": true}', @FILE, or - for standard input
        #[arg(value_name = "PATCH")]
        patch: String,
        /// Only if this config version is in force
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
}

pub(super) fn act(client: &Client, action: &Twin) -> anyhow::Result<(Value, String)> {
    let answer = match action {
        Twin::Get { device } => client.get(&client.path(device, "/twin")?)?,
        Twin::Patch { device, patch, version } => {
            let patch: Value = serde_json::from_slice(&data(patch)?)
                .map_err(|e| anyhow::anyhow!("the patch is no JSON: {e}; write it as '{{\"on\": true}}'"))?;
            let only = version.map(|version| format!("?versionToUpdate={version}")).unwrap_or_default();
            client.patch(&client.path(device, &format!("/twin{only}"))?, &patch)?
        }
    };
    let text = shown(&answer);
    Ok((answer, text))
}

fn shown(twin: &Value) -> String {
    let document = |name: &str| {
        let problem = twin.get(format!("{name}Problem")).and_then(Value::as_str);
        problem.map_or_else(|| field(twin, name), str::to_owned)
    };
    let row = |name: &str, version: &str, time: &str, what: String| {
        vec![name.into(), field(twin, version), field(twin, time), what]
    };
    let rows = [
        row("desired", "desiredVersion", "desiredTime", document("desired")),
        row("acknowledged", "acknowledgedVersion", "acknowledgedTime", String::new()),
        row("reported", "reportedVersion", "reportedTime", document("reported")),
    ];
    let text = table(&["", "VERSION", "TIME", "DOCUMENT"], &rows);
    let differs: Vec<_> = twin.get("differs").and_then(Value::as_array).into_iter().flatten().map(difference).collect();
    if differs.is_empty() {
        text
    } else {
        format!("{text}\n\n{}", table(&["DIFFERS", "DESIRED", "REPORTED", "SINCE"], &differs))
    }
}

fn difference(difference: &Value) -> Vec<String> {
    let since = field(difference, "since");
    let since = if difference.get("orBefore").is_some() { format!("{since} or before") } else { since };
    let value = |name: &str| difference.get(name).map_or_else(|| "-".into(), Value::to_string);
    vec![field(difference, "path"), value("desired"), value("reported"), since]
}
