//! The journal, which is the durable state of a host: an append-only sequence of checksummed records, one for each commit of the writer. One
//! thread writes, while any number of threads read. Inspects its files for torn and damaged records before it changes anything. Encodes
//! entries, and does not know what they mean.

mod blocks;
pub mod inspect;
mod journal;
mod preallocated;
pub mod record;
mod rows;
pub mod runs;
pub mod segment;

pub use blocks::{BlockFile, Blocks};
pub use journal::{FOLDER, Files, Journal, OldestFiles, sync_folder};
pub use record::JournalPosition;
pub use rows::{JournalPage, JournalRow};

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{path}: {problem}")]
    Open { path: String, problem: String },
    #[error(
        "{path} was written by another version of switchbox (format {found}, this one reads {known}); start the version that wrote it, or use another --data folder"
    )]
    OtherVersion { path: String, found: i64, known: i64 },
    /// Says what is damaged, where, and what to do about it.
    #[error("{0}")]
    Damaged(String),
    #[error("journal: {0}")]
    Write(String),
    #[error("row {row} of the journal cannot be read: {problem}")]
    Corrupt { row: i64, problem: String },
}
