//! The thread that writes the journal waits for the disk alone. Locks that it must not wait for assert that it does not take them.

use std::cell::Cell;

thread_local! {
    static IS_JOURNAL_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread writes the journal from now on.
pub fn mark_journal_writer() {
    IS_JOURNAL_WRITER.set(true);
}

/// Called before a lock is taken that is held for longer than a push into a queue. In debug builds it panics on the thread that writes the
/// journal, which stops the host; otherwise it does nothing.
#[inline]
pub fn assert_not_journal_writer() {
    debug_assert!(!IS_JOURNAL_WRITER.get(), "the journal's writer takes a lock that others hold for long");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_journals_writer_is_noticed() {
        assert_not_journal_writer();
        let writer = std::thread::spawn(|| {
            mark_journal_writer();
            assert_not_journal_writer();
        });
        assert_eq!(writer.join().is_err(), cfg!(debug_assertions));
    }
}
