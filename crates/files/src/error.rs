//! Why a file cannot be stored or read.

use std::io;

use switchbox_model::limits::LimitName;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is unknown, ended or expired.
    #[error("no such upload is under way: it has ended or its time has run out, or the host has restarted since")]
    NoUpload,
    #[error("{text} (limit {limit})")]
    Full { text: String, limit: LimitName },
    #[error("the device has a file of this name already")]
    Exists,
    #[error("block {0} is unknown, or named twice")]
    Block(String),
    #[error("the file cannot be written or read: {0}")]
    Disk(#[from] io::Error),
}
