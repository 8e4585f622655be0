//! Which host a command talks to, and how its answer is printed.

use std::path::PathBuf;

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
pub(super) struct Host {
    /// The host's admin API [default: that of the host of the data folder]
    #[arg(long, value_name = "URL", env = "SWITCHBOX_ADMIN", global = true)]
    admin: Option<String>,
    /// The admin token [default: the one in the data folder]
    #[arg(long, value_name = "TOKEN", env = "SWITCHBOX_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// An authority (PEM) to trust beside this machine's own, for https
    #[arg(long, value_name = "FILE", env = "SWITCHBOX_CA", global = true)]
    ca: Option<PathBuf>,
    /// The host's data folder, to read the token from [default: that of the host that runs on this machine]
    #[arg(long, value_name = "DIR", env = "SWITCHBOX_DATA", global = true)]
    data: Option<PathBuf>,
    /// Print the host's answer as JSON, with payloads that are text as text beside their base64
    #[arg(long, global = true)]
    json: bool,
}

impl Host {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let target = context::find(Asked { admin: self.admin.as_deref(), data: self.data.as_deref() })?;
        let authorities = match &self.ca {
            Some(file) if target.admin.starts_with("https:") => trust::read(file)?,
            _ => Vec::new(),
        };
        Ok(Client::with(&target.admin, self.token.clone(), &target.data, authorities))
    }

    /// The same, for a command in which device names may be short.
    pub(super) fn client_in(&self, names: &Names) -> anyhow::Result<Client> {
        Ok(self.client()?.in_registry_of(names))
    }

    pub(super) fn wants_json(&self) -> bool {
        self.json
    }

    /// The answer for a program, or the text for a person.
    pub(super) fn show(&self, answer: &Value, text: String) -> String {
        if !self.json {
            return text;
        }
        terminal::json_piece(&format!("{:#}", readable::with_texts(answer.clone()))).into_owned()
    }

    /// The same for an answer in which documents stand byte for byte.
    pub(super) fn show_document(&self, answer: &switchbox_rules::json::Value<'_>, text: String) -> String {
        if self.json { terminal::json_piece(&switchbox_rules::json::pretty(answer)).into_owned() } else { text }
    }
}
