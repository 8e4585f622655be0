//! `switchbox device twin`: the desired and the reported document of a device, and their differences. Documents are shown, and
//! patches are sent, byte for byte.

use anyhow::Context as _;
use clap::Subcommand;
use switchbox_rules::json::{Kind, Object, Value, compact};

use crate::{
    client::Client,
    exit::{Code, failed, wrong},
    host::HostOptions,
    payload::data,
    table::table,
    when::when,
};

/// How much deeper the host's answer is than a document in it.
const AROUND: usize = 8;

#[derive(Debug, Subcommand)]
pub(super) enum Twin {
    /// Show desired and reported, and their differences
    Get {
        device: String,
        /// Numbers with a fraction do not differ if they are this close: relative to the larger one, such as 1e-6, or float32
        /// [default: the device's metadata twin-tolerance, or 0]
        #[arg(long, value_name = "PART")]
        tolerance: Option<String>,
    },
    /// Change desired by a JSON merge patch (RFC 7396); other fields stay
    Patch {
        device: String,
        /// The patch, such as '{"on": true}', @FILE, or - for standard input
        #[arg(value_name = "PATCH")]
        patch: String,
        /// Only if this config version is the current one
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
}

/// Returns what is to be printed.
pub(super) fn run(host: &HostOptions, client: &Client, action: &Twin) -> anyhow::Result<String> {
    let answer = ask(client, action)?;
    let answer = switchbox_rules::json::parse_within(answer.as_bytes(), switchbox_rules::json::DEPTH + AROUND)
        .context("the host's answer cannot be read")?;
    let Kind::Object(twin) = &answer.kind else { anyhow::bail!("the host's answer is not a twin") };
    Ok(host.show_document(&answer, shown(twin)))
}

fn ask(client: &Client, action: &Twin) -> anyhow::Result<String> {
    match action {
        Twin::Get { device, tolerance } => {
            let tolerance = tolerance.as_ref().map(|tolerance| {
                tolerance
                    .parse::<switchbox_rules::json::Tolerance>()
                    .with_context(|| failed(Code::Arguments, format!("--tolerance {tolerance}")))?;
                anyhow::Ok(format!("?tolerance={tolerance}"))
            });
            let tolerance = tolerance.transpose()?.unwrap_or_default();
            client.get_text(&client.path(device, &format!("/twin{tolerance}"))?)
        }
        Twin::Patch { device, patch, version } => {
            let patch = data(patch)?;
            switchbox_rules::json::object(&patch)
                .map_err(|is| wrong(format!("the patch must be a JSON object, such as '{{\"on\": true}}': {is}")))?;
            let only = version.map(|version| format!("?versionToUpdate={version}")).unwrap_or_default();
            client.patch_text(&client.path(device, &format!("/twin{only}"))?, String::from_utf8(patch)?)
        }
    }
}

/// Text as it is, other values as JSON.
fn cell(object: &Object<'_>, name: &str) -> Option<String> {
    object.get(name.as_bytes()).map(|value| match &value.kind {
        Kind::String(text) => String::from_utf8_lossy(text).into_owned(),
        Kind::Null => "-".into(),
        _ => compact(value),
    })
}

fn field(object: &Object<'_>, name: &str) -> String {
    cell(object, name).unwrap_or_else(|| "-".into())
}

fn shown(twin: &Object<'_>) -> String {
    let document = |name: &str| cell(twin, &format!("{name}Problem")).unwrap_or_else(|| field(twin, name));
    let row = |name: &str, version: &str, time: &str, what: String| {
        vec![name.into(), field(twin, version), when(field(twin, time)), what]
    };
    let rows = [
        row("desired", "desiredVersion", "desiredTime", document("desired")),
        row("acknowledged", "acknowledgedVersion", "acknowledgedTime", String::new()),
        row("reported", "reportedVersion", "reportedTime", document("reported")),
    ];
    let text = table(&["", "VERSION", "TIME", "DOCUMENT"], &rows);
    let differs = match twin.get(b"differs").map(|differs| &differs.kind) {
        Some(Kind::Array(differs)) if !differs.is_empty() => differs.iter().map(difference).collect::<Vec<_>>(),
        _ => return text,
    };
    let more = cell(twin, "differsLeftOut").map(|more| format!("and {more} more\n")).unwrap_or_default();
    format!("{text}\n\n{}{more}", table(&["DIFFERS", "DESIRED", "REPORTED", "SINCE"], &differs))
}

fn difference(difference: &Value<'_>) -> Vec<String> {
    let Kind::Object(difference) = &difference.kind else { return Vec::new() };
    let since = when(field(difference, "since"));
    let since = if difference.get(b"orBefore").is_some() { format!("{since} or before") } else { since };
    let value = |name: &str| difference.get(name.as_bytes()).map_or_else(|| "-".into(), compact);
    vec![field(difference, "path"), value("desired"), value("reported"), since]
}
