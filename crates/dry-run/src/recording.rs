//! The recording format: JSON Lines, one object a line, each with its `kind`. docs/recordings.md describes it for users. Every
//! version of the host reads the recordings of earlier ones. This module reads and writes lines and opens no files.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use crate::{
    call::HostCall,
    effect::{EffectLine, OutcomeLine},
    event::EventLine,
};
use switchbox_plugin_runtime::{GrantPatterns, GrantRequest, Limits, Trigger};

/// The format version that this host writes. It reads this one and all earlier ones.
pub const FORMAT: u32 = 1;

/// The longest line that is read, bytes.
const LINE_BYTES: usize = 64 * 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Line {
    /// The first line.
    Recording {
        format: u32,
        plugin: String,
        /// The version of the host.
        #[serde(default)]
        host: String,
        #[serde(default)]
        begin_ms: u64,
        /// Patterns of the keys whose values are masked.
        #[serde(default)]
        mask: Vec<String>,
        /// It was made of the executions in the journal, which has no calls of the host.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        from_journal: bool,
    },
    /// A component with its settings, before the first instance of it.
    Version(VersionLine),
    /// A new instance was started.
    Start(StartLine),
    /// One event was handled.
    Execution(Box<ExecutionLine>),
    /// Executions that are missing in the file, because they came faster than they could be written, or because one was too large.
    Gap { skipped: u64 },
    /// The last line of a recording that ended normally.
    End { why: String, executions: u64, skipped: u64 },
    /// A line of a later version that readers may ignore.
    #[serde(other)]
    Other,
}

impl Line {
    /// Appends its text with a line end.
    pub(crate) fn append_to(&self, text: &mut Vec<u8>) {
        match self {
            Self::Execution(line) => return line.append_to(text),
            // Lines can always be written as JSON.
            _ => drop(serde_json::to_writer(&mut *text, self)),
        }
        text.push(b'\n');
    }
}

/// A version of the plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionLine {
    /// Starts at 1, in the order of the file.
    pub version: u32,
    /// `sha256:…` of the component.
    pub digest: String,
    /// The plugin's own settings: the JSON text that the component got.
    pub settings: String,
    /// The grants that the component asks for.
    #[serde(default)]
    pub asks: Vec<GrantRequest>,
    /// The grants that its settings give. Is `None` if they give all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<GrantPatterns>,
    #[serde(default)]
    pub limits: Limits,
    /// Is `None` in recordings of earlier hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggers: Option<TriggersLine>,
    /// Whether something in the settings is masked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

/// Where the triggers of a version are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggersLine {
    /// In the description of its component.
    Component,
    /// In its settings file.
    Settings(Vec<Trigger>),
}

impl TriggersLine {
    /// `set`: the triggers of a settings file, if it has any.
    #[must_use]
    pub fn of(set: Option<&[Trigger]>) -> Self {
        set.map_or(Self::Component, |triggers| Self::Settings(triggers.to_vec()))
    }
}

/// The start of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartLine {
    /// Starts at 1, in the order of the file.
    pub instance: u32,
    pub version: u32,
    /// The guest's clock while it started, milliseconds since the Unix epoch.
    pub time_ms: u64,
    #[serde(default)]
    pub calls: Vec<HostCall>,
}

/// An event and its execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionLine {
    pub instance: u32,
    pub event: EventLine,
    #[serde(default)]
    pub calls: Vec<HostCall>,
    #[serde(default)]
    pub effects: Vec<EffectLine>,
    pub outcome: OutcomeLine,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    #[serde(default)]
    pub guest_us: u64,
    /// Whether something in this line is masked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("line {line} cannot be read: {source}")]
    Io { line: u64, source: std::io::Error },
    #[error("line {line} is not a line of a recording: {text}")]
    Line { line: u64, text: String },
    #[error(
        "the file is not a recording: its first line must be like {{\"kind\":\"recording\",\"format\":1,\"plugin\":\"NAME\"}}, with a line end"
    )]
    NoRecording,
    #[error(
        "the recording has format {0}, and this version of switchbox reads formats up to {FORMAT}; use a newer one"
    )]
    Newer(u32),
}

/// Reads a recording line by line.
pub struct Reader<R> {
    from: R,
    line: u64,
    text: String,
    /// The name of the plugin.
    pub plugin: String,
    /// It was made of the executions in the journal.
    pub from_journal: bool,
    /// The last line is incomplete: the host, or the transfer of the file, ended while it was being written.
    pub cut_off: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not a recording, or has a later format.
    pub fn new(from: R) -> Result<Self, ReadError> {
        let (text, plugin) = (String::new(), String::new());
        let mut reader = Self { from, line: 0, text, plugin, from_journal: false, cut_off: false };
        match reader.next_line() {
            Ok(Some(Line::Recording { format, plugin, from_journal, .. })) if format <= FORMAT => {
                (reader.plugin, reader.from_journal) = (plugin, from_journal);
                Ok(reader)
            }
            Ok(Some(Line::Recording { format, .. })) => Err(ReadError::Newer(format)),
            Err(error @ ReadError::Io { .. }) => Err(error),
            // It says what the line lacks.
            Err(error) if reader.is_of_kind("recording") => Err(error),
            _ => Err(ReadError::NoRecording),
        }
    }

    /// Reads the next line. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the line is not valid.
    pub fn next_line(&mut self) -> Result<Option<Line>, ReadError> {
        loop {
            self.line += 1;
            self.text.clear();
            let line = self.line;
            let mut bounded = std::io::Read::take(&mut self.from, LINE_BYTES as u64);
            let read = bounded.read_line(&mut self.text).map_err(|source| ReadError::Io { line, source })?;
            if read == 0 {
                return Ok(None);
            }
            if !self.text.ends_with('\n') && read < LINE_BYTES {
                // The line end is written last, so the line is incomplete even if it is valid JSON.
                self.cut_off = true;
                return Ok(None);
            }
            if self.text.trim().is_empty() {
                continue;
            }
            let parsed = serde_json::from_str(&self.text);
            return parsed.map(Some).map_err(|error| ReadError::Line { line, text: error.to_string() });
        }
    }

    /// Whether the line that was read last is an object of this kind, whatever else it has.
    fn is_of_kind(&self, kind: &str) -> bool {
        let line = serde_json::from_str::<serde_json::Value>(&self.text);
        line.is_ok_and(|line| line.get("kind").is_some_and(|of| of == kind))
    }

    /// The number of the line that was read last, starting at 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }
}
