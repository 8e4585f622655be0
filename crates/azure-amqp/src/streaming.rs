//! Sends a partition to one link, settled: consumers store their own positions. The partition is read only while the session has a window,
//! the connection has room, and it is the link's turn. A link that cannot send for a while gives its page back and reads it again later,
//! so a consumer that takes nothing uses memory for one event a link, and for what the budget of its connection permits.

use std::{
    pin::pin,
    task::Poll::{Pending, Ready},
    time::Duration,
};

use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp_types::definitions::{AmqpError, Error};
use futures_util::poll;
use tokio::time::timeout;

use crate::{
    delivery_budget::Turn,
    last_enqueued::LastEnqueued,
    message,
    outgoing_link::OutgoingLink,
    reader::{DeviceEvent, Page, Reader},
    selector::Term,
};
use switchbox_model::{EventData, Seq};
use switchbox_support::log_limit::SiteLimit;

/// At most ten such lines a minute are logged; the others are counted.
static MISSED_LOG: SiteLimit = SiteLimit::new(10);

/// A link keeps its page while it waits for credit, for room or for the window of its session, but no longer than this.
const PAGE_TIME: Duration = Duration::from_millis(200);
/// What an event counts in the budget beside its payload and properties: its annotations and its transfer.
pub(crate) const EVENT_BYTES: usize = 1_024;

pub(crate) struct PartitionStream {
    pub(crate) link: OutgoingLink,
    pub(crate) reader: Reader,
    pub(crate) filter: Vec<Term>,
    /// Tells the partition's newest event with each event.
    pub(crate) last: Option<LastEnqueued>,
}

impl PartitionStream {
    /// Runs until the link ends, or the journal cannot be read.
    pub(crate) async fn run(mut self) {
        // The peer may have closed the link already.
        let _ = match self.send_pages().await {
            Ok(()) => self.link.close().await,
            Err(error) => self.link.close_with_error(error).await,
        };
    }

    async fn send_pages(&mut self) -> Result<(), Error> {
        let mut missed = 0;
        while let Some(turn) = self.turn().await {
            let page = self.reader.page().await;
            let page = page.map_err(|error| Error::new(AmqpError::InternalError, Some(error.to_string()), None))?;
            missed += page.missed;
            if page.missed > 0
                && let Some(more) = MISSED_LOG.allow()
            {
                tracing::warn!(
                    missed = page.missed,
                    "a consumer of the event endpoint missed events that were trimmed before it read them{more}"
                );
            }
            let is_end = page.is_end;
            if !self.send_page(page, turn, &mut missed).await {
                break;
            }
            if is_end {
                tokio::select! {
                    _ = self.link.on_detach() => break,
                    () = self.reader.wait() => {}
                }
            }
        }
        Ok(())
    }

    /// Waits until the client takes an event and it is this link's turn to read some. Returns `None` if the link has ended.
    async fn turn(&mut self) -> Option<Turn> {
        let session = self.link.session().clone();
        let turn = async {
            session.opened().await;
            session.budget().room().await;
            session.budget().turn().await
        };
        tokio::select! {
            _ = self.link.on_detach() => None,
            turn = turn => turn,
        }
    }

    /// Returns `false` if the link has ended. The turn ends with the page.
    async fn send_page(&mut self, page: Page, turn: Turn, missed: &mut u64) -> bool {
        let mut left = page.found.into_iter();
        while let Some(found) = left.next() {
            if !message::matches(&found, &self.filter) {
                continue;
            }
            let after = (Seq(found.event.seq.0 + 1), found.row);
            let mut sending = pin!(send(&mut self.link, self.last.as_mut(), found, std::mem::take(missed)));
            let sent = match poll!(sending.as_mut()) {
                Ready(sent) => Ok(sent),
                Pending => timeout(PAGE_TIME, sending.as_mut()).await,
            };
            match sent {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => {
                    drop((left, turn));
                    self.reader.rewind(after);
                    return sending.await;
                }
            }
        }
        true
    }
}

/// Sends an event when the client takes it. Returns `false` if the link has ended.
async fn send(link: &mut OutgoingLink, last: Option<&mut LastEnqueued>, found: DeviceEvent, missed: u64) -> bool {
    if !(link.session().is_open() && link.session().budget().has_room()) {
        let session = link.session().clone();
        tokio::select! {
            _ = link.on_detach() => return false,
            () = async { session.opened().await; session.budget().room().await } => {}
        }
    }
    let bytes = bytes(&found.event.data);
    let mut message = message::message(found, missed);
    if let Some(last) = last {
        // An error of the journal ends the link at its next page.
        message.delivery_annotations = last.annotations().await.ok().flatten();
    }
    let sendable = Sendable::builder().message(message).settled(Some(true)).build();
    link.send_counted(sendable, bytes).await.is_ok()
}

/// What an event counts in the budget, about.
fn bytes(data: &EventData) -> usize {
    let properties = match data {
        EventData::Telemetry { properties, .. } => properties.as_slice(),
        _ => &[],
    };
    let properties: usize = properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    EVENT_BYTES + data.payload().len() + properties
}
