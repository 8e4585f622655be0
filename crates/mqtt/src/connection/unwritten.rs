//! Counts the bytes of a client's events that are not in the journal yet. At a limit, its socket is not read.

use switchbox_core::ingest::QueuePosition;
use switchbox_model::limits::UNWRITTEN_BYTES;

/// The bytes are counted in two generations, so that nothing is allocated. All bytes of a generation count until its last event is in the
/// journal.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// The position of the last event of the older generation.
    older: QueuePosition,
    /// The position of the last submitted event, which is in the newer generation.
    newer: QueuePosition,
    older_bytes: u32,
    newer_bytes: u32,
}

impl Unwritten {
    /// Returns true if this many more bytes would reach the limit.
    pub(super) fn would_fill(&self, bytes: usize) -> bool {
        self.older_bytes as usize + self.newer_bytes as usize + bytes >= UNWRITTEN_BYTES
    }

    /// Counts submitted bytes. `position` must not be before that of an earlier call.
    pub(super) fn push(&mut self, position: QueuePosition, bytes: usize) {
        self.newer = position.max(self.newer);
        self.newer_bytes = self.newer_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The journal is committed up to this position.
    pub(super) fn record_committed(&mut self, position: QueuePosition) {
        if self.newer <= position {
            (self.older_bytes, self.newer_bytes) = (0, 0);
        } else if self.older <= position {
            (self.older, self.older_bytes) = (self.newer, std::mem::take(&mut self.newer_bytes));
        }
    }

    /// Returns true if submitted events are not committed, when the journal is committed up to this position.
    pub(super) fn has_uncommitted(&self, committed: QueuePosition) -> bool {
        self.newer > committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_journal_has_makes_room() {
        let mut unwritten = Unwritten::default();
        unwritten.push(QueuePosition(3), UNWRITTEN_BYTES - 1);
        assert!(!unwritten.would_fill(0) && unwritten.would_fill(1));
        unwritten.record_committed(QueuePosition(2));
        unwritten.push(QueuePosition(5), 1);
        unwritten.record_committed(QueuePosition(2));
        assert!(unwritten.would_fill(0));
        unwritten.record_committed(QueuePosition(4));
        assert!(!unwritten.would_fill(0) && unwritten.would_fill(UNWRITTEN_BYTES - 1), "of the first nothing is left");
        assert!(unwritten.has_uncommitted(QueuePosition(4)));
        unwritten.record_committed(QueuePosition(9));
        assert!(!unwritten.would_fill(UNWRITTEN_BYTES - 1) && !unwritten.has_uncommitted(QueuePosition(9)));
    }
}
