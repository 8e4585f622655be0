//! Switchbox: one binary that lets devices drive other devices. Rooms in rank order; see ARCHITECTURE.md.

pub mod builtins;
pub mod clock;
pub mod log_limit;
pub mod metrics;
pub mod model;
pub mod tasks;
pub mod terminal;

pub mod fairness;
pub mod lobby;
pub mod settings;
pub mod store;
pub mod tls;

pub mod explain;
pub mod journal;
pub mod outbox;
pub mod registry;
pub mod twin;

pub mod auth;
pub mod ingest;
pub mod timers;

pub mod engine;
pub mod plugin;

pub mod dispatch;
pub mod proxy;
pub mod session;
pub mod topics;

pub mod delivery;
pub mod dialect;

pub mod admin;
pub mod mqtt;
pub mod watch;

pub mod app;
pub mod bench;
pub mod cli;
pub mod commands;

#[cfg(fuzzing)]
pub mod fuzzing;
