//! Where and how to look.

use std::{path::PathBuf, time::Duration};

/// Where and how to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// Made when it is not there.
    pub folder: PathBuf,
    /// How often the folder is read without a notification.
    pub poll: Duration,
    /// A file is read when two scans at this interval found the same.
    pub settle: Duration,
    /// How long a component may be incomplete before it is called broken.
    pub settle_time: Duration,
}

impl Options {
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            poll: Duration::from_secs(2),
            settle: Duration::from_millis(100),
            settle_time: Duration::from_secs(5),
        }
    }
}
