//! The rules that the host and the plugin SDK share, so that a test on an author's machine and the host decide alike: names, limits,
//! topic filters, patterns of devices, triggers, grants, arguments of host calls, output, twins, token buckets, sizes and JSON documents.
//! Pure: no clock, no files, no sockets.
//!
//! What a plugin itself does not need is a feature: `patterns` (globs, triggers and grants), `schedules` (when timers are due), `durations`
//! (their text form), `twins` (twin documents and their times).

pub mod calls;
#[cfg(feature = "patterns")]
pub mod description;
#[cfg(feature = "durations")]
pub mod duration;
pub mod event;
#[cfg(feature = "patterns")]
pub mod grants;
pub mod json;
pub mod limits;
pub mod names;
pub mod output;
#[cfg(feature = "patterns")]
pub mod pattern;
#[cfg(feature = "schedules")]
pub mod schedule;
pub mod size;
pub mod text;
#[cfg(feature = "twins")]
pub mod time;
pub mod token_bucket;
pub mod topic;
#[cfg(feature = "patterns")]
pub mod trigger;
#[cfg(feature = "twins")]
pub mod twin;
