//! The host that a command uses, and how its answer is printed.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use clap::{
    ValueEnum,
    builder::{EnumValueParser, PossibleValue, TypedValueParser},
    error::ErrorKind,
};
use serde_json::Value;

use super::{
    client::Client,
    context::{self, HostSelector},
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
    /// The host's data folder, to read the token from [env: SWITCHBOX_DATA] [default: that of the host that runs on this machine]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// How the host's answer is printed [default: table]
    #[arg(long, short, value_parser = OutputParser { files: false }, value_name = "FORMAT", global = true)]
    output: Option<OutputTo>,
    /// The same as --output json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
}

/// The value of `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OutputTo {
    Format(Output),
    /// The file that the command writes.
    File(Box<Path>),
}

/// Reads the value of `--output`.
#[derive(Debug, Clone)]
pub(super) struct OutputParser {
    /// Whether what is no format is a file that the command writes.
    pub(super) files: bool,
}

impl TypedValueParser for OutputParser {
    type Value = OutputTo;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<OutputTo, clap::Error> {
        let format = EnumValueParser::<Output>::new().parse_ref(command, argument, value);
        let is_file = value.to_str().is_none_or(|text| text.contains(['.', '/']));
        match format {
            Ok(format) => Ok(OutputTo::Format(format)),
            Err(_) if self.files => Ok(OutputTo::File(Path::new(value).into())),
            Err(_) if is_file => {
                let text = format!(
                    "--output says how the answer is printed: table, json or jsonl, and not {}. Where a command writes a file, \
                     --file names it\n",
                    value.display()
                );
                Err(clap::Error::raw(ErrorKind::InvalidValue, text).with_cmd(command))
            }
            Err(error) => Err(error),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let formats = Output::value_variants().iter().filter_map(Output::to_possible_value);
        (!self.files).then(|| Box::new(formats) as Box<dyn Iterator<Item = PossibleValue>>)
    }
}

/// The format of the host's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Text for users
    Table,
    /// As the API answers, with `data` beside each payload that is text
    Json,
    /// Like json, on one line; of a list each item on a line
    Jsonl,
}

impl HostOptions {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let data = self.data_folder();
        let target = context::find(HostSelector { admin: self.admin.as_deref(), data: data.as_deref() })?;
        let authorities = match &self.ca {
            Some(file) if target.admin.starts_with("https:") => trust::read(file)?,
            _ => Vec::new(),
        };
        Ok(Client::with(&target.admin, self.token.clone(), &target.data, authorities))
    }

    /// The data folder that was named.
    pub(super) fn data_folder(&self) -> Option<PathBuf> {
        self.data.clone().or_else(context::data_of_environment)
    }

    /// This host without `--data`, for a command whose own data that is.
    pub(super) fn without_data(&self) -> Self {
        Self { data: None, ..self.clone() }
    }

    /// A client of this host, for a command in which device names may be short.
    pub(super) fn client_in(&self, names: &Names) -> anyhow::Result<Client> {
        Ok(self.client()?.in_registry_of(names))
    }

    fn output(&self) -> Output {
        match self.output {
            _ if self.json => Output::Json,
            Some(OutputTo::Format(format)) => format,
            Some(OutputTo::File(_)) | None => Output::Table,
        }
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
