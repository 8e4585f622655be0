//! Publishes what happens to devices to clients that watch them, under `registries/`. Changes nothing, and delays neither the journal's
//! writer nor an ingest: messages wait in a bounded queue until a task has published them.

mod mirrored;
mod queue;

pub use mirrored::Mirrored;
pub use queue::MirrorQueue;
