//! `switchbox plugin canary`: lets a candidate act for some devices of a running host, for more of them, for all, or for none.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::{answer::typed, exit::wrong, host::HostOptions, plugin_shadow::percent, table, url::escape};
use switchbox_admin_api::{Base64, CanaryPluginRequest, PluginCanary, PluginFile};
use switchbox_model::PluginName;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    name: String,
    /// The candidate's component [default: the one in force]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["promote", "abort"])]
    component: Option<PathBuf>,
    /// The candidate's settings file [default: the one in force]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["promote", "abort"])]
    settings: Option<PathBuf>,
    /// The share of devices that it acts for, such as 10%; for a running canary: its next share
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with_all = ["devices", "promote", "abort"])]
    share: Option<f64>,
    /// A glob for the ids of the devices that it acts for
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["promote", "abort"])]
    devices: Option<String>,
    /// Put it in force for all devices
    #[arg(long, conflicts_with = "abort")]
    promote: bool,
    /// End it: the version in force acts for all devices
    #[arg(long)]
    abort: bool,
}

/// Returns what is to be printed.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<String> {
    let name = PluginName::new(&options.name)?;
    let path = format!("/v1/plugins/{}", escape(name.as_str()));
    let client = host.client()?;
    if options.promote {
        let answer = client.post(&format!("{path}:promoteCanary"), &json!({}))?;
        let file = typed::<PluginFile>(&answer)?.file.unwrap_or_default();
        return Ok(host.show(&answer, format!("{name}: the canary is written to {file}, and comes into force")));
    }
    let chosen = options.share.is_some() || options.devices.is_some();
    if !chosen && (options.component.is_some() || options.settings.is_some()) {
        return Err(wrong("say for whom it acts: --share 10% or --devices 'lamp-*'"));
    }
    let answer = match (options.abort, chosen) {
        (true, _) => client.post(&format!("{path}:abortCanary"), &json!({}))?,
        (_, true) => client.post(&format!("{path}:canary"), &request(options)?)?,
        _ => client.get(&format!("{path}/canary"))?,
    };
    let text = shown(&name, typed(&answer)?);
    Ok(host.show(&answer, text))
}

fn request(options: &Options) -> anyhow::Result<CanaryPluginRequest> {
    let missing = |path: &PathBuf| format!("{} cannot be read", path.display());
    let component = options.component.as_ref().map(|path| fs::read(path).with_context(|| missing(path))).transpose()?;
    let settings = options.settings.as_ref().map(|path| fs::read_to_string(path).with_context(|| missing(path)));
    Ok(CanaryPluginRequest {
        component: component.map(|bytes| Base64(bytes.into())),
        settings: settings.transpose()?,
        share: options.share,
        devices: options.devices.clone(),
    })
}

fn shown(name: &PluginName, canary: PluginCanary) -> String {
    let acts_for = match (canary.share, canary.devices) {
        (Some(share), _) => format!("{}% of devices", share * 100.0),
        (None, devices) => format!("devices {}", devices.unwrap_or_default()),
    };
    let at = canary.ended_time.map(|at| format!(" {at}")).unwrap_or_default();
    let rows = [
        ("canary of", name.to_string()),
        ("candidate", canary.digest),
        ("since", canary.since.to_string()),
        ("state", canary.ended.map_or_else(|| "running".to_owned(), |why| format!("ended{at}: {why}"))),
        ("acts for", acts_for),
        ("events", canary.events.0.to_string()),
        ("traps", canary.traps.0.to_string()),
        ("errors", canary.errors.0.to_string()),
        ("dead letters", canary.dead_letters.0.to_string()),
        ("µs an event (median)", canary.median_micros.0.to_string()),
        ("of the version in force", canary.in_force_median_micros.0.to_string()),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect();
    table::details(&rows)
}
