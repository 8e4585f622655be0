//! `switchbox file`: files that devices have uploaded.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{answer::typed, client::Client, on_host, table::table, url::escape, when::at};
use switchbox_admin_api::ListFilesResponse;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// All files of the registry, or of one device
    List { device: Option<String> },
    /// Fetch a file
    Get {
        device: String,
        name: String,
        /// Where it is written; no file may be there [default: the last part of its name]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Delete a file
    Delete { device: String, name: String },
}

impl on_host::Action for Action {
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)> {
        match self {
            Self::List { device } => list(client, device.as_deref()),
            Self::Get { device, name, to } => {
                let to = to.clone().unwrap_or_else(|| name.rsplit('/').next().unwrap_or(name).into());
                let bytes = get(client, &path(client, device, name)?, &to)?;
                let text = format!("{bytes} bytes are in {}", to.display());
                Ok((json!({ "path": to.display().to_string(), "bytes": bytes.to_string() }), text))
            }
            Self::Delete { device, name } => {
                let answer = client.delete(&path(client, device, name)?)?;
                Ok((answer, format!("file {name} of {device} is deleted")))
            }
        }
    }
}

/// A name is one segment, whatever it holds.
fn path(client: &Client, device: &str, name: &str) -> anyhow::Result<String> {
    client.path(device, &format!("/files/{}", escape(name).replace('/', "%2F")))
}

fn list(client: &Client, device: Option<&str>) -> anyhow::Result<(Value, String)> {
    let (registry, filter) = match device.map(|device| client.device(device)).transpose()? {
        Some(device) => (device.registry, format!("?device={}", escape(device.id.as_str()))),
        None => (client.home()?, String::new()),
    };
    let answer = client.all(&format!("{}{filter}", escape(&format!("/v1/{registry}/files"))), "files")?;
    let files = typed::<ListFilesResponse>(&answer)?.files;
    let row = |file: switchbox_admin_api::DeviceFile| {
        vec![file.device, file.name, file.bytes.to_string(), at(file.time.to_string())]
    };
    let rows: Vec<_> = files.into_iter().map(row).collect();
    Ok((answer, table(&["DEVICE", "FILE", "BYTES", "UPLOADED"], &rows)))
}

/// Returns its size. What cannot be fetched whole is removed.
fn get(client: &Client, path: &str, to: &Path) -> anyhow::Result<u64> {
    let mut source = client.stream(path)?;
    let opened = OpenOptions::new().write(true).create_new(true).open(to);
    let mut file = opened.with_context(|| format!("{} cannot be written", to.display()))?;
    io::copy(&mut source, &mut file)
        .inspect_err(|_| drop(std::fs::remove_file(to)))
        .context("the file came in part only")
}
