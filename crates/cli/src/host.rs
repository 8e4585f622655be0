//! The host that a command uses, and how its answer is printed.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;

use super::{
    client::Client,
    context::{self, Asked},
    names::Names,
    readable, trust,
};
use switchbox_support::terminal;

/// Which host
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HostOptions {
    /// The host's admin API [default: that of the host of the data folder]
    #[arg(long, value_name = "URL", env = "SWITCHBOX_ADMIN", global = true)]
    admin: Option<String>,
    /// The admin token [default: the one in the data folder]
    #[arg(long, value_name = "TOKEN", env = "SWITCHBOX_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// An authority (PEM) to trust in addition to those of this machine, for https
    #[arg(long, value_name = "FILE", env = "SWITCHBOX_CA", global = true)]
    ca: Option<PathBuf>,
    /// The host's data folder, to read the token from [default: that of the host that runs on this machine]
    #[arg(long, value_name = "DIR", env = "SWITCHBOX_DATA", global = true)]
    data: Option<PathBuf>,
    /// How the host's answer is printed [default: table]
    #[arg(long, short, value_enum, value_name = "FORMAT", global = true)]
    output: Option<Output>,
    /// The same as --output json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
}

/// The format of the host's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Text for users
    Table,
    /// As the API answers, with `data` beside each payload that is text
    Json,
    /// Like json, on one line; of a list each item on a line
    Jsonl,
}

impl HostOptions {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let target = context::find(Asked { admin: self.admin.as_deref(), data: self.data.as_deref() })?;
        let authorities = match &self.ca {
            Some(file) if target.admin.starts_with("https:") => trust::read(file)?,
            _ => Vec::new(),
        };
        Ok(Client::with(&target.admin, self.token.clone(), &target.data, authorities))
    }

    /// The value of `--data` as text. A command with its own data in this option reads it here.
    pub(super) fn data_text(&self) -> Option<&str> {
        self.data.as_ref().and_then(|data| data.to_str())
    }

    pub(super) fn data_folder(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// This host without `--data`.
    pub(super) fn without_data(&self) -> Self {
        Self { data: None, ..self.clone() }
    }

    /// A client of this host, for a command in which device names may be short.
    pub(super) fn client_in(&self, names: &Names) -> anyhow::Result<Client> {
        Ok(self.client()?.in_registry_of(names))
    }

    fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output.unwrap_or(Output::Table) }
    }

    /// Whether a stream is printed as JSON lines.
    pub(super) fn wants_json(&self) -> bool {
        self.output() != Output::Table
    }

    /// The answer as JSON, or the text for users.
    pub(super) fn show(&self, answer: &Value, text: String) -> String {
        let json = match self.output() {
            Output::Table => return text,
            Output::Json => format!("{:#}", readable::with_data(answer.clone())),
            Output::Jsonl => lines(&readable::with_data(answer.clone())),
        };
        terminal::json_piece(&json).into_owned()
    }

    /// Shows an answer that contains documents byte for byte.
    pub(super) fn show_document(&self, answer: &switchbox_rules::json::Value<'_>, text: String) -> String {
        let json = match self.output() {
            Output::Table => return text,
            Output::Json => switchbox_rules::json::pretty(answer),
            Output::Jsonl => switchbox_rules::json::compact(answer),
        };
        terminal::json_piece(&json).into_owned()
    }
}

/// An answer in lines. A list without items has no lines.
fn lines(answer: &Value) -> String {
    let Some(items) = readable::only_list(answer) else { return answer.to_string() };
    items.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}
