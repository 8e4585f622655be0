//! Reads of the journal for the links of all connections. A few at a time: each takes a thread and some hundred KiB, and thousands of links wait
//! for the same event.

use std::sync::Arc;

use tokio::sync::Semaphore;

use switchbox_model::{Seq, limits::HUB_AMQP_READS};
use switchbox_store as store;
use switchbox_store::{JournalPage, JournalRow};

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct JournalReads {
    store: store::Handle,
    places: Arc<Semaphore>,
}

impl JournalReads {
    pub(crate) fn new(store: store::Handle) -> Self {
        Self { store, places: Arc::new(Semaphore::new(HUB_AMQP_READS)) }
    }

    /// Rows from `from` on, about `bytes` of them. An empty page = the end.
    pub(crate) async fn page(&self, from: i64, bytes: usize) -> Result<JournalPage, store::Error> {
        let _place = self.places.acquire().await.map_err(|_| store::Error::Closed)?;
        self.store.journal_page(from, bytes).await
    }

    /// At most `rows` rows before `before`, newest first.
    pub(crate) async fn back(&self, before: i64, rows: usize) -> Result<Vec<JournalRow>, store::Error> {
        let _place = self.places.acquire().await.map_err(|_| store::Error::Closed)?;
        self.store.journal_back(before, rows).await
    }

    /// The row that contains the event, or the first one after it.
    pub(crate) async fn row_of(&self, seq: Seq) -> Result<Option<i64>, store::Error> {
        let _place = self.places.acquire().await.map_err(|_| store::Error::Closed)?;
        self.store.row_of(seq).await
    }

    /// The last row of the journal, and the last event in it or before it.
    pub(crate) fn end(&self) -> (i64, Seq) {
        self.store.journal_end()
    }

    /// Waits until the event is in the journal. The error: it never will be.
    pub(crate) async fn wait_until_written(&self, seq: Seq) -> Result<(), store::Error> {
        self.store.wait_until_written(seq).await
    }
}
