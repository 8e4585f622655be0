//! The rules that the host and the plugin SDK share, so that a test on an author's machine and the host decide alike: names, limits,
//! topic filters, patterns of devices, grants, arguments of host calls, token buckets, sizes and JSON documents. Pure: no clock, no files, no sockets.
//!
//! What a plugin itself does not need is a feature: `patterns` (globs and grants), `schedules` (when timers are due), `durations` (their text form).

pub mod calls;
#[cfg(feature = "durations")]
pub mod duration;
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
