//! Dry runs: executions of a plugin in its sandbox against a *world* that answers its calls of the host. Effects are collected and
//! not carried out. The world is the live registry, a recording, or the description in a test case. This crate also writes the
//! recordings. It never changes a host.

pub mod approval;
pub mod call;
pub mod case;
pub mod compare;
pub mod effect;
pub mod event;
pub mod forked;
pub mod instance_lines;
pub mod journal_lines;
mod line_queue;
mod line_text;
mod line_writer;
pub mod live;
pub mod mask;
pub mod method_calls;
pub mod names;
pub mod offline;
pub mod own_state;
pub mod payload;
pub mod recorded;
pub mod recorder;
pub mod recording;
pub mod replay;
pub mod replay_result;
pub mod replay_version;
mod secret_words;
mod secrets;
pub mod shadow_report;
pub mod sink;
mod texts;
pub mod world;
