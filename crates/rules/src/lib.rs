//! The rules that the host and the plugin SDK share, so that a test on an author's machine and the host decide alike: names, limits,
//! topic filters, patterns of devices, grants, token buckets, sizes and JSON documents. Pure: no clock, no files, no sockets.
//!
//! With the feature `patterns`: globs and grants, which a plugin itself does not need.

#[cfg(feature = "patterns")]
pub mod grants;
pub mod json;
pub mod limits;
pub mod names;
#[cfg(feature = "patterns")]
pub mod pattern;
pub mod size;
pub mod token_bucket;
pub mod topic;
