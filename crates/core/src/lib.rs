//! Devices and what happens to them: the registry, twins, events, effects, timers, the journal, delivery.

pub mod engine;
pub mod explain;
pub mod ingest;
pub mod journal;
pub mod outbox;
pub mod registry;
pub mod timers;
pub mod twin;
