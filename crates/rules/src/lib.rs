//! The rules that the host and the plugin SDK share, so that a test on an author's machine and the host decide alike: names, limits,
//! topic filters, patterns of devices, grants, arguments of host calls, token buckets, sizes and JSON documents. Pure: no clock, no files, no sockets.
//!
//! With the feature `patterns`: globs and grants, and with the feature `schedules`: when timers are due. A plugin itself needs neither.

pub mod calls;
#[cfg(feature = "patterns")]
pub mod grants;
pub mod json;
pub mod limits;
pub mod names;
#[cfg(feature = "patterns")]
pub mod pattern;
#[cfg(feature = "schedules")]
pub mod schedule;
pub mod size;
pub mod token_bucket;
pub mod topic;
