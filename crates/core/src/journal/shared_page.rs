//! The page of the journal that was read last for followers that take a sample. All of them read about the same rows at about the same
//! time, so most of them find theirs here: the journal is read and decoded once for all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use switchbox_store::{self as store, JournalPage};
use tokio::sync::Mutex;

/// Bytes of the journal that are read at once.
const PAGE_BYTES: usize = 64 * 1024;
/// A follower that is further behind than this continues with the newest row.
const BEHIND_BYTES: u64 = 256 * 1024;
/// A follower that is behind takes a page that was read within this time as the newest.
const NEWEST_WITHIN: Duration = Duration::from_millis(100);

/// The page that was read last.
#[derive(Debug)]
struct LastRead {
    /// The first row that was requested.
    from: i64,
    page: Arc<JournalPage>,
    time: Instant,
}

impl LastRead {
    /// Whether a follower that continues with `row` finds its next rows here.
    fn has(&self, row: i64, is_behind: bool) -> bool {
        let is_later = self.from > row;
        row < self.page.next && (!is_later || (is_behind && self.time.elapsed() < NEWEST_WITHIN))
    }
}

#[derive(Debug, Default)]
pub(super) struct SharedPage(Mutex<Option<LastRead>>);

impl SharedPage {
    /// Rows from `row` on, or the newest ones for a follower that is far behind. May also have earlier rows.
    pub(super) async fn read(&self, store: &store::Handle, row: i64) -> Result<Arc<JournalPage>, store::Error> {
        let is_behind = store.journal_bytes_from(row) > BEHIND_BYTES;
        // Other followers wait for the lock, and then find the page here.
        let mut last = self.0.lock().await;
        if let Some(read) = last.as_ref().filter(|read| read.has(row, is_behind)) {
            return Ok(read.page.clone());
        }
        let from = if is_behind { store.journal_end().0.max(row) } else { row };
        let page = Arc::new(store.journal_page(from, PAGE_BYTES).await?);
        *last = Some(LastRead { from, page: page.clone(), time: Instant::now() });
        Ok(page)
    }
}
