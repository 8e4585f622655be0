//! The state that the journal makes: the registry of devices, twins, command queues and timers; what accepts events, applies entries, reads the
//! journal and explains effects.

pub mod engine;
pub mod explain;
pub mod ingest;
pub mod journal;
pub mod outbox;
pub mod registry;
pub mod timers;
pub mod twin;
