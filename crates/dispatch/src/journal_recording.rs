//! Makes a recording of the executions that the journal has, piece by piece. Changes nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{context::Context, manager::Manager};
use switchbox_dry_run::journal_lines::{JournalLines, RanVersion};
use switchbox_model::{
    Entry, Event, Handled, PluginName, Seq,
    limits::{self, LimitName, names},
};
use switchbox_store as store;
use switchbox_store::JournalPage;

/// Bytes of the journal that are read at once.
const PAGE_BYTES: usize = 1024 * 1024;
/// Bytes of events that are remembered until their executions come. An event that is older is read again.
const EVENTS_BYTES: usize = 16 * 1024 * 1024;

/// A recording of a plugin's executions in the journal.
pub struct JournalRecording {
    context: Arc<Context>,
    plugin: PluginName,
    /// Only executions that ended at this time or later, milliseconds since the Unix epoch.
    since_ms: u64,
    lines: JournalLines,
    /// The next row to read. Is `None` after the last line.
    row: Option<i64>,
    /// The last row of the journal when the recording began.
    last: i64,
    events: RecentEvents,
    bytes: u64,
}

impl Manager {
    /// Begins to make a recording of the plugin's executions in the journal. `versions`: those that have run, oldest first.
    ///
    /// # Errors
    ///
    /// A pattern of `mask` is not a valid glob.
    pub fn journal_recording(
        &self,
        plugin: &PluginName,
        since_ms: u64,
        versions: Vec<RanVersion>,
        mask: &[String],
    ) -> Result<JournalRecording, String> {
        let lines = JournalLines::new(plugin, versions, mask)?;
        let (last, _) = self.context.store.journal_end();
        let (context, plugin, events) = (self.context.clone(), plugin.clone(), RecentEvents::default());
        Ok(JournalRecording { context, plugin, since_ms, lines, row: Some(0), last, events, bytes: 0 })
    }
}

impl JournalRecording {
    /// The next lines. Returns `None` after the last one.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, store::Error> {
        while let Some(from) = self.row {
            let JournalPage { rows, next } = self.context.store.journal_page(from, PAGE_BYTES).await?;
            self.row = (!rows.is_empty() && next <= self.last).then_some(next);
            let last = self.last;
            for entry in rows.into_iter().filter(|row| row.row <= last).flat_map(|row| row.entries) {
                self.read(entry).await?;
            }
            let limit = self.limit();
            if limit.is_some() || self.row.is_none() {
                self.row = None;
                self.lines.end(match limit {
                    Some(limit) => {
                        self.context.metrics.limit(limit);
                        format!("the limit \"{limit}\" is reached")
                    }
                    None => "the end of the journal is reached".to_owned(),
                });
            }
            let text = self.lines.take();
            self.bytes += text.len() as u64;
            if !text.is_empty() {
                return Ok(Some(text.into()));
            }
        }
        Ok(None)
    }

    /// The limit that ends it before the journal does.
    fn limit(&self) -> Option<LimitName> {
        if self.lines.has_too_many_secrets() {
            return Some(names::RECORDING_SECRET_BYTES);
        }
        (self.bytes >= limits::RECORDING_BYTES).then_some(names::RECORDING_BYTES)
    }

    async fn read(&mut self, entry: Entry) -> Result<(), store::Error> {
        let Entry::Handled(run) = entry else {
            entry.into_events().into_iter().for_each(|event| self.events.add(event));
            return Ok(());
        };
        if run.plugin == self.plugin && run.time_ms >= self.since_ms {
            for handled in run.each() {
                self.add(&handled).await?;
            }
        }
        Ok(())
    }

    async fn add(&mut self, handled: &Handled) -> Result<(), store::Error> {
        let event = match self.events.take(handled.seq) {
            Some(event) => Some(event),
            None => self.find(handled.seq).await?,
        };
        let registry = &self.context.registry;
        let name = |num| registry.get(num).map(|device| device.name.clone());
        let device = event.as_ref().and_then(|event| event.device).and_then(name);
        self.lines.add(handled, event.as_ref().map(|event| (event, device.as_ref())), &name);
        Ok(())
    }

    /// Reads an event that is not remembered. Returns `None` if the journal no longer has it.
    async fn find(&self, seq: Seq) -> Result<Option<Event>, store::Error> {
        let store = &self.context.store;
        let Some(row) = store.row_of(seq).await? else { return Ok(None) };
        // The page ends with its first row.
        let entries = store.journal_page(row, 1).await?.rows.into_iter().flat_map(|row| row.entries);
        Ok(entries.into_iter().find_map(|entry| entry.into_event(seq)).map(|(event, _)| event))
    }
}

/// The newest events that were read and not taken.
#[derive(Default)]
struct RecentEvents {
    events: BTreeMap<Seq, Event>,
    bytes: usize,
}

impl RecentEvents {
    fn add(&mut self, event: Event) {
        self.bytes += weight(&event);
        self.events.insert(event.seq, event);
        while self.bytes > EVENTS_BYTES
            && let Some((_, oldest)) = self.events.pop_first()
        {
            self.bytes -= weight(&oldest);
        }
    }

    fn take(&mut self, seq: Seq) -> Option<Event> {
        let event = self.events.remove(&seq)?;
        self.bytes -= weight(&event);
        Some(event)
    }
}

/// Bytes that an event takes, roughly.
fn weight(event: &Event) -> usize {
    const EVENT_BYTES: usize = 256;
    EVENT_BYTES + event.data.payload().len()
}
