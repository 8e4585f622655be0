//! The data folder of a running host, in two parts: the journal (`log/`, authoritative: append only, group-committed by one thread) and
//! the documents (`state.db`, SQLite, computed from the journal by a second thread, so that writing them delays no acknowledgement).
//! Entries are applied by a [`Machine`]; the store does not know what they mean.
//!
//! `state.db` stores the row up to which it is computed. Later rows of the journal are replayed at the next start.

mod append_queue;
mod backup;
#[cfg(test)]
mod backup_tests;
mod broker;
mod broker_docs;
mod check;
mod columns;
mod command_docs;
mod commands;
mod commit;
#[cfg(test)]
mod config_tests;
mod dead_letters;
mod decide;
mod devices;
mod docs;
mod documents;
mod expiry;
mod handle;
#[cfg(test)]
mod journal_damage_tests;
#[cfg(test)]
mod journal_repair_tests;
mod kept;
mod loaded;
mod loading;
mod lock;
mod materialise;
mod open;
mod pending_documents;
mod permits;
mod plugins;
pub mod private;
mod quarantine;
mod queries;
mod reader;
mod repair;
mod retained;
mod retention;
mod schema;
mod service;
mod space;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timers;
mod write_batch;
mod writer;

use std::path::PathBuf;

pub use append_queue::AppendQueue;
pub use backup::{MANIFEST, Manifest, backup, restore};
pub use broker_docs::{BrokerDocs, QueuedDoc, SessionDoc};
pub use check::{Checked, check, is_data_folder};
pub use command_docs::{CommandDoc, CommandFilter, CommandPage, DueCommand};
pub use commit::{CommitCallback, CommitProgress, OnCommit, QueuePosition};
pub use docs::{
    ConfigVersion, DeviceDoc, Doc, KvDoc, LastSeen, OutgoingDoc, PluginDoc, PluginLifecycleDoc, RegistryDoc,
    ServiceDoc, StateVersion, TimerDoc,
};
pub use handle::Handle;
pub use kept::KeptRecord;
pub use loaded::Loaded;
pub use open::{Opened, open};
pub use permits::{Permits, QueuePermit, QueueShare};
pub use repair::{Repaired, repair};
pub use service::Service;

pub use switchbox_journal::{JournalPage, JournalRow};
use switchbox_model::{DeviceNum, Entry, limits::TooMuch};
use switchbox_support::histogram::Histogram;

/// Where the store lives and how much it may hold.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; made when it is not there.
    pub folder: PathBuf,
    /// Bytes of entries that may wait for the writer; beyond it, callers wait.
    pub queue_bytes: usize,
    /// Bytes of the journal that are kept for history, beyond what is still needed.
    pub keep_bytes: u64,
    /// Bytes of executions with results that are kept longer than the journal, about.
    pub keep_executions_bytes: u64,
    /// Bytes kept in reserve for a start on a full disk; 0 = none.
    pub reserve_bytes: u64,
    /// Where less is free, the journal keeps less and a warning is logged.
    pub warn_free_bytes: u64,
    /// How long durable commits take is recorded here.
    pub commit_time: Histogram,
}

impl Options {
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            queue_bytes: 64 * 1024 * 1024,
            keep_bytes: 256 * 1024 * 1024,
            keep_executions_bytes: 64 * 1024 * 1024,
            reserve_bytes: 0,
            warn_free_bytes: 0,
            commit_time: Histogram::default(),
        }
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{path}: {problem}")]
    Open { path: String, problem: String },
    #[error(
        "{path} was written by another version of switchbox (format {found}, this one reads {known}); start the version that wrote it, or use another --data folder"
    )]
    OtherVersion { path: String, found: i64, known: i64 },
    #[error("{path} is in use by another switchbox; stop that one, or use another --data folder")]
    Locked { path: String },
    /// Says what is damaged, where, and what to do about it.
    #[error("{0}")]
    Damaged(String),
    #[error("database: {0}")]
    Sqlite(String),
    #[error(transparent)]
    Journal(#[from] switchbox_journal::Error),
    #[error("the thread {thread} of the store panicked; this is a fault of switchbox")]
    Panicked { thread: &'static str },
    #[error("the data folder is not where it was: {0}; stop whatever moves it, and start again")]
    Gone(String),
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.to_string())
    }
}

/// The result of applying an entry. A refused entry changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// What the entry's config effects did, in their order.
    Configs(Vec<ConfigReply>),
    /// The devices that the entry pruned.
    Pruned(Vec<DeviceNum>),
    Refused(EntryRefusal),
}

/// What a config effect did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigReply {
    /// The version in force after it.
    pub version: u64,
    /// Whether no version was made, because the current one has the same content. Version 0: there is none yet.
    pub unchanged: bool,
}

/// Why an entry was refused when it was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryRefusal {
    #[error("version {current} is in force, not version {expected}")]
    Conflict { device: DeviceNum, expected: u64, current: u64 },
    #[error("it exists already")]
    AlreadyExists,
    #[error("it does not exist")]
    NotFound,
    #[error("the registry still has devices")]
    NotEmpty,
    #[error("the gateway still has bound devices")]
    HasBound,
    #[error("the device is not bound to the gateway")]
    NotBound,
    #[error("only a device that is not a gateway can be bound, and only to a gateway")]
    NotBindable,
    #[error("it has no such credential")]
    NoSuchCredential,
    #[error("it has that credential already")]
    HasCredential,
    /// What was to be changed has another revision than the entry asks for.
    #[error("it was changed meanwhile: it has revision {current} now")]
    OtherRevision { current: u64 },
    /// There would be more of something than there may be.
    #[error(transparent)]
    TooMuch(TooMuch),
    /// A patch that cannot be applied to what is in force; says why.
    #[error("{0}")]
    Patch(String),
}

/// The state machine to which the journal is applied. It is deterministic, so that the same entries give the same state after a
/// restart.
pub trait Machine: Send + 'static {
    /// Called once for each entry, in order, after it is in the journal.
    fn apply(&mut self, entry: Entry, docs: &mut Vec<Doc>) -> Reply;
    /// The entries so far are applied, and their callers have the result.
    fn committed(&mut self);
}
