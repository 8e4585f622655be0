//! Sends a partition to one link. The partition is read only while the link has credit, so a consumer that grants none uses no
//! memory for events.

use std::collections::VecDeque;

use fe2o3_amqp::link::{
    SendError, Sender,
    delivery::{DeliveryFut, Sendable},
};
use fe2o3_amqp_types::{
    definitions::{AmqpError, Error, SenderSettleMode},
    messaging::Outcome,
};

use crate::{
    message,
    reader::{DeviceEvent, Reader},
    selector::Term,
};
use switchbox_support::log_limit::SiteLimit;

/// Maximum bytes of events that a consumer has received and not settled.
const MAX_UNSETTLED_BYTES: usize = 4 * 1024 * 1024;
/// Maximum number of events that a consumer has received and not settled.
const MAX_UNSETTLED: usize = 2_048;

/// At most ten such lines a minute are logged; the others are counted.
static MISSED_LOG: SiteLimit = SiteLimit::new(10);

type Delivery = DeliveryFut<Result<Outcome, SendError>>;

pub(crate) struct PartitionStream {
    pub(crate) link: Sender,
    pub(crate) settle: SenderSettleMode,
    pub(crate) reader: Reader,
    pub(crate) filter: Vec<Term>,
}

impl PartitionStream {
    /// Runs until the link ends, or the journal cannot be read.
    pub(crate) async fn run(mut self) {
        let mut unsettled = Unsettled::default();
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
                if self.send(found, std::mem::take(&mut missed), &mut unsettled).await.is_err() {
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

    async fn send(&mut self, found: DeviceEvent, missed: u64, unsettled: &mut Unsettled) -> Result<(), SendError> {
        let bytes = found.event.data.payload().len();
        let settled = self.settle == SenderSettleMode::Settled;
        let message = message::message(found, missed);
        let sendable = Sendable::builder().message(message).settled(Some(settled)).build();
        let delivery = self.link.send_batchable(sendable).await?;
        if settled {
            return Ok(());
        }
        unsettled.push(delivery, bytes).await
    }
}

/// Deliveries that the consumer has not settled, oldest first.
#[derive(Default)]
struct Unsettled {
    deliveries: VecDeque<(Delivery, usize)>,
    bytes: usize,
}

impl Unsettled {
    /// Waits for the oldest deliveries while there are too many. The consumer's outcome is ignored: consumers store their own
    /// positions.
    async fn push(&mut self, delivery: Delivery, bytes: usize) -> Result<(), SendError> {
        self.bytes += bytes;
        self.deliveries.push_back((delivery, bytes));
        while self.deliveries.len() > MAX_UNSETTLED || self.bytes > MAX_UNSETTLED_BYTES {
            let Some((oldest, bytes)) = self.deliveries.pop_front() else { break };
            oldest.await?;
            self.bytes -= bytes;
        }
        Ok(())
    }
}
