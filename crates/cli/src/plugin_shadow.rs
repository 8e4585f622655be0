//! `switchbox plugin shadow`: runs a candidate beside a plugin of a running host, and shows the differences.

use std::{fmt::Write as _, fs, path::PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::{answer::typed, exit::wrong, host::HostOptions, table, url::escape};
use switchbox_admin_api::{Base64, PluginShadow, ShadowPluginRequest};
use switchbox_model::PluginName;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    name: String,
    /// The candidate's component [default: the one in force]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["report", "stop"])]
    component: Option<PathBuf>,
    /// The candidate's settings file [default: the one in force]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["report", "stop"])]
    settings: Option<PathBuf>,
    /// The share of devices whose events it sees, such as 10%
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with_all = ["report", "stop"])]
    share: Option<f64>,
    /// Show the results so far
    #[arg(long, conflicts_with = "stop")]
    report: bool,
    /// End the shadow
    #[arg(long)]
    stop: bool,
}

/// Such as `10%`, as a part of one. A number alone is refused: `1` could be 1% or all.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let share =
        text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok()).map(|number| number / 100.0);
    let share = share.filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "write a share with a percent sign, as 10%, at most 100%".into())
}

/// Returns what is to be printed.
pub(super) fn run(host: &HostOptions, options: &Options) -> anyhow::Result<String> {
    let name = PluginName::new(&options.name)?;
    let path = format!("/v1/plugins/{}", escape(name.as_str()));
    let client = host.client()?;
    let answer = if options.report {
        client.get(&format!("{path}/shadow"))?
    } else if options.stop {
        client.post(&format!("{path}:stopShadow"), &json!({}))?
    } else {
        if options.component.is_none() && options.settings.is_none() {
            return Err(wrong(
                "name the candidate with --component FILE or --settings FILE; --report and --stop are about a shadow that there is",
            ));
        }
        client.post(&format!("{path}:shadow"), &request(options)?)?
    };
    let text = shown(&name, typed(&answer)?);
    Ok(host.show(&answer, text))
}

fn request(options: &Options) -> anyhow::Result<ShadowPluginRequest> {
    let missing = |path: &PathBuf| format!("{} cannot be read", path.display());
    let component = options.component.as_ref().map(|path| fs::read(path).with_context(|| missing(path))).transpose()?;
    let settings = options.settings.as_ref().map(|path| fs::read_to_string(path).with_context(|| missing(path)));
    Ok(ShadowPluginRequest {
        component: component.map(|bytes| Base64(bytes.into())),
        settings: settings.transpose()?,
        share: options.share,
    })
}

fn shown(name: &PluginName, shadow: PluginShadow) -> String {
    let state = shadow.ended.map_or_else(|| "running".to_owned(), |why| format!("ended: {why}"));
    let share = format!("{}% of devices", shadow.share * 100.0);
    let mut rows = vec![
        ("shadow of", name.to_string()),
        ("candidate", shadow.digest),
        ("since", shadow.since.to_string()),
        ("state", state),
        ("sees", share),
    ];
    let counts = [
        ("events", shadow.events),
        ("equal", shadow.equal),
        ("different", shadow.different),
        ("only old", shadow.only_old),
        ("only new", shadow.only_new),
        ("errors", shadow.errors),
        ("dropped", shadow.dropped),
        ("waiting", shadow.queued),
        ("µs an event, old", shadow.old_micros),
        ("µs an event, new", shadow.new_micros),
        ("bytes of memory, new", shadow.memory_bytes),
    ];
    rows.extend(counts.map(|(what, count)| (what, count.0.to_string())));
    let rows: Vec<_> = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect();
    let mut text = table::details(&rows);
    if !shadow.kinds.is_empty() {
        let kinds: Vec<_> = shadow.kinds.into_iter().map(|(kind, count)| vec![kind, count.to_string()]).collect();
        let _ = write!(text, "\n{}", table::table(&["KIND", "EVENTS"], &kinds));
    }
    for example in shadow.examples {
        let of = if example.device.is_empty() { String::new() } else { format!(" of {}", example.device) };
        let _ = writeln!(text, "\nevent {}{of} ({}):", example.event.0, example.kind);
        for line in example.differs {
            let _ = writeln!(text, "  {line}");
        }
    }
    if shadow.dropped.0 > 0 {
        text.push_str("\nEvents were dropped, so the candidate's state may differ because of that.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_with_a_percent_sign() {
        assert_eq!((percent("10%"), percent("0.5%"), percent("100%")), (Ok(0.1), Ok(0.005), Ok(1.0)));
        for text in ["1", "10", "0.5", "0%", "-1%", "101%", "NaN%", "x", "%", ""] {
            let error = percent(text).unwrap_err();
            assert!(error.starts_with("write a share with a percent sign, as 10%"), "{text}: {error}");
        }
    }
}
