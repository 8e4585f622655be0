//! The thread that writes the journal waits for the disk alone. Locks that it must not wait for assert that it does not take them.

use std::cell::Cell;

thread_local! {
    static IS_JOURNAL_WRITER: Cell<bool> = const { Cell::new(false) };
}

/// While it exists, the calling thread writes the journal. It restores what was before.
struct Writing(bool);

impl Drop for Writing {
    fn drop(&mut self) {
        IS_JOURNAL_WRITER.set(self.0);
    }
}

/// Runs what writes the journal and applies its entries.
pub fn as_journal_writer<T>(write: impl FnOnce() -> T) -> T {
    let _writing = Writing(IS_JOURNAL_WRITER.replace(true));
    write()
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
    fn a_thread_is_noticed_while_it_writes_the_journal() {
        as_journal_writer(|| ());
        assert_not_journal_writer();
        let writer = std::thread::spawn(|| as_journal_writer(assert_not_journal_writer));
        assert_eq!(writer.join().is_err(), cfg!(debug_assertions));
    }
}
