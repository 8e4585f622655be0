//! Follows the journal as it grows. A follower keeps only a position in the journal, so a slow one costs no memory. If it cannot keep up,
//! items are left out, and it gets their number.

use std::{collections::VecDeque, sync::Arc};

use super::{Allowance, Handle, SampleRate, SharedPage, touches};
use switchbox_model::{DeviceNum, Entry, Event, EventKind, Handled, HandledInRun, HandledRun, PluginName, Seq};
use switchbox_store as store;
use switchbox_store::{JournalPage, JournalRow};

/// Bytes of the journal that are read at once.
const PAGE_BYTES: usize = 256 * 1024;
/// A follower that is further behind than this skips to the end of the journal.
const BEHIND_BYTES: u64 = 4 * 1024 * 1024;
/// How many events of the followed device are remembered, so that their executions are recognised.
const RECENT: usize = 4_096;

/// The position of a follower: it has got everything up to and including this item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub row: i64,
    /// The index among the events and executions of the row.
    pub index: usize,
    /// The last event that it has seen, or that its filter left out.
    pub seq: Seq,
}

/// The items that a follower requests.
#[derive(Debug, Clone, Default)]
pub struct FollowFilter {
    /// Only events of this device, and executions for these or with an effect on it.
    pub device: Option<DeviceNum>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Whether the follower gets events.
    pub events: bool,
    /// Whether the follower gets executions.
    pub executions: bool,
    /// Only executions of this plugin.
    pub plugin: Option<PluginName>,
    /// The most items that a call of [`Follower::next`] returns, beside the numbers of those left out. A follower that is behind then
    /// continues with the newest record of the journal. `None` if it returns all.
    pub max: Option<SampleRate>,
}

/// An item that a follower gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    Event(Event),
    Execution(Handled),
    /// The number of events that were left out, whether they match the filter or not.
    Missed(u64),
    /// The number of items that match the filter and were left out of the sample.
    LeftOut(u64),
}

/// A reader that follows the end of the journal.
#[derive(Debug)]
pub struct Follower {
    store: store::Handle,
    filter: FollowFilter,
    /// The next row to read.
    row: i64,
    /// How many items of that row the follower has got already.
    skip: usize,
    /// The last event that was read. `None` when there was none.
    last_seq: Option<Seq>,
    /// The newest events of the followed device.
    recent: VecDeque<Seq>,
    allowance: Allowance,
    shared_page: Arc<SharedPage>,
}

/// What one call of [`Follower::next`] returns, while it is made.
struct FollowResult {
    items: Vec<(Cursor, Followed)>,
    allowance: Allowance,
    left_out: Option<(Cursor, u64)>,
}

impl FollowResult {
    /// Adds an item, unless the sample is full.
    fn add(&mut self, at: Cursor, item: impl FnOnce() -> Followed) {
        if self.allowance.take() {
            self.items.push((at, item()));
        } else {
            self.left_out = Some((at, self.left_out.map_or(0, |(_, count)| count) + 1));
        }
    }

    /// The items, and the number of those that were left out of the sample.
    fn into_items(mut self) -> Vec<(Cursor, Followed)> {
        self.items.extend(self.left_out.map(|(at, count)| (at, Followed::LeftOut(count))));
        self.items
    }
}

impl Handle {
    /// Follows the journal behind the position `after`, or from now on without one.
    pub async fn follow(&self, after: Option<Cursor>, filter: FollowFilter) -> Result<Follower, store::Error> {
        let (row, skip, last_seq) = match after {
            Some(cursor) => (cursor.row, cursor.index + 1, cursor.seq),
            None => {
                let (row, seq) = self.store.journal_end();
                (row + 1, 0, seq)
            }
        };
        let shared_page = self.shared_page();
        let (store, allowance) = (self.store.clone(), Allowance::new(filter.max));
        Ok(Follower {
            store,
            filter,
            row,
            skip,
            last_seq: Some(last_seq),
            recent: VecDeque::new(),
            allowance,
            shared_page,
        })
    }

    fn shared_page(&self) -> Arc<SharedPage> {
        let mut current = self.shared_page.lock();
        let shared = current.upgrade().unwrap_or_default();
        *current = Arc::downgrade(&shared);
        shared
    }
}

impl Follower {
    /// The items that were written since the last call; none if there are none.
    pub async fn next(&mut self) -> Result<Vec<(Cursor, Followed)>, store::Error> {
        self.allowance.refill();
        let mut result = FollowResult { items: Vec::new(), allowance: self.allowance, left_out: None };
        let page = if self.filter.max.is_some() {
            self.shared_page.read(&self.store, self.row).await?
        } else if self.store.journal_bytes_from(self.row) > BEHIND_BYTES {
            let (row, seq) = self.store.journal_end();
            result.items.extend(self.missed(Seq(seq.0 + 1), Cursor { row, index: usize::MAX - 1, seq }));
            (self.row, self.skip) = (row + 1, 0);
            self.last_seq = Some(seq);
            return Ok(result.items);
        } else {
            Arc::new(self.store.journal_page(self.row, PAGE_BYTES).await?)
        };
        let JournalPage { rows, next } = &*page;
        let first_row = self.row;
        for row in rows.iter().filter(|row| row.row >= first_row) {
            self.read_row(row, &mut result);
        }
        // A page that is empty says where it would have begun.
        if *next > self.row {
            (self.row, self.skip) = (*next, 0);
        }
        self.allowance = result.allowance;
        Ok(result.into_items())
    }

    fn read_row(&mut self, row: &JournalRow, result: &mut FollowResult) {
        let skipped = if row.row == self.row { std::mem::take(&mut self.skip) } else { 0 };
        let mut index = 0;
        let mut cursor = |seq| {
            index += 1;
            (index > skipped).then_some(Cursor { row: row.row, index: index - 1, seq })
        };
        for entry in &row.entries {
            if let Entry::Handled(run) = entry {
                for handled in &run.events {
                    let Some(cursor) = cursor(self.last_seq.unwrap_or_default()) else { continue };
                    if self.wants_execution(run, handled) {
                        result.add(cursor, || Followed::Execution(run.handled(handled)));
                    }
                }
            }
            for event in entry.events() {
                let Some(cursor) = cursor(event.seq) else { continue };
                result.items.extend(self.missed(event.seq, cursor));
                self.last_seq = Some(event.seq);
                if self.wants_event(event) {
                    result.add(cursor, || Followed::Event(event.clone()));
                }
            }
        }
    }

    /// The number of events that were left out before the event `now`: event numbers have no gaps, so a gap is what was left out.
    fn missed(&self, now: Seq, at: Cursor) -> Option<(Cursor, Followed)> {
        let gap = now.0.saturating_sub(self.last_seq?.0 + 1);
        (gap > 0).then_some((at, Followed::Missed(gap)))
    }

    fn wants_event(&mut self, event: &Event) -> bool {
        let filter = &self.filter;
        if filter.device.is_some_and(|device| event.device != Some(device)) {
            return false;
        }
        if filter.device.is_some() && filter.executions {
            self.recent.push_back(event.seq);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        filter.events && filter.kind.is_none_or(|kind| event.data.kind() == kind)
    }

    fn wants_execution(&self, run: &HandledRun, handled: &HandledInRun) -> bool {
        let filter = &self.filter;
        let of_device = |device| self.recent.contains(&handled.seq) || touches(&handled.outcome, device);
        filter.executions
            && filter.plugin.as_ref().is_none_or(|plugin| run.plugin == *plugin)
            && filter.device.is_none_or(of_device)
    }
}
