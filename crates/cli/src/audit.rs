//! `switchbox audit`: the changes that callers made through a running host's API.

use super::{answer, host::HostOptions};

/// The newest changes through the API, with their status
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    host: HostOptions,
    /// How many lines
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<String> {
    let answer = options.host.client()?.list("/v1/audit", "lines", options.count)?;
    let columns = [
        ("TIME", "/time"),
        ("WHO", "/who"),
        ("FROM", "/address"),
        ("STATUS", "/status"),
        ("CALL", "/call"),
        ("OBJECT", "/object"),
        ("PARAMETERS", "/parameters"),
    ];
    let text = answer::list(&answer, "lines", &columns);
    Ok(options.host.show(&answer, text))
}
