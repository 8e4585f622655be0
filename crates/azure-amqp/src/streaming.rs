//! Sends a partition to one link, settled: consumers store their own positions. The partition is read only while the link has credit
//! and its session a window, so a consumer that grants none uses no memory for events.

use std::sync::Arc;

use fe2o3_amqp::link::{Sender, delivery::Sendable};
use fe2o3_amqp_types::definitions::{AmqpError, Error};

use crate::{
    last_enqueued::LastEnqueued,
    message,
    reader::{DeviceEvent, Reader},
    selector::Term,
    session_windows::SessionWindow,
};
use switchbox_support::log_limit::SiteLimit;

/// At most ten such lines a minute are logged; the others are counted.
static MISSED_LOG: SiteLimit = SiteLimit::new(10);

pub(crate) struct PartitionStream {
    pub(crate) link: Sender,
    /// Of the session.
    pub(crate) window: Arc<SessionWindow>,
    pub(crate) reader: Reader,
    pub(crate) filter: Vec<Term>,
    /// Tells the partition's newest event with each event.
    pub(crate) last: Option<LastEnqueued>,
}

impl PartitionStream {
    /// Runs until the link ends, or the journal cannot be read.
    pub(crate) async fn run(mut self) {
        let mut missed = 0;
        loop {
            let page = match self.reader.page().await {
                Ok(page) => page,
                Err(error) => {
                    let error = Error::new(AmqpError::InternalError, Some(error.to_string()), None);
                    let _ = self.link.close_with_error(error).await;
                    return;
                }
            };
            missed += page.missed;
            if page.missed > 0
                && let Some(more) = MISSED_LOG.allow()
            {
                tracing::warn!(
                    missed = page.missed,
                    "a consumer of the event endpoint missed events that were trimmed before it read them{more}"
                );
            }
            for found in page.found {
                if !message::matches(&found, &self.filter) {
                    continue;
                }
                if !self.send(found, std::mem::take(&mut missed)).await {
                    let _ = self.link.close().await;
                    return;
                }
            }
            if page.is_end {
                tokio::select! {
                    _ = self.link.on_detach() => {
                        let _ = self.link.close().await;
                        return;
                    }
                    () = self.reader.wait() => {}
                }
            }
        }
    }

    /// Returns `false` if the link has ended.
    async fn send(&mut self, found: DeviceEvent, missed: u64) -> bool {
        if !self.window.is_open() {
            tokio::select! {
                _ = self.link.on_detach() => return false,
                () = self.window.opened() => {}
            }
        }
        let mut message = message::message(found, missed);
        if let Some(last) = &mut self.last {
            // An error of the journal ends the link at its next page.
            message.delivery_annotations = last.annotations().await.ok().flatten();
        }
        let sendable = Sendable::builder().message(message).settled(Some(true)).build();
        self.link.send_batchable(sendable).await.is_ok()
    }
}
