//! How far the journal's queue has got, as the writer counts it and sessions compare it.

/// The place of an entry among all that were queued since the store was opened, from 1. Grows in the order of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct QueuePosition(pub u64);
