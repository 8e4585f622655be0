//! What publishing brought about and must be durable before anybody is told: written together, then delivered. Holds it;
//! decides nothing.

use std::{sync::Arc, time::Instant};

use super::{Keeper, Subscriber};
use crate::{
    clock,
    model::{
        Message,
        broker::{BrokerChange, MessageNum, Now, Recipient, StoredMessage},
    },
    store,
};

/// What a change costs in the log's queue beside its message, bytes, about.
const OVERHEAD: usize = 96;

struct Delivery {
    subscriber: Arc<dyn Subscriber>,
    num: MessageNum,
    message: Arc<Message>,
    recipient: Recipient,
}

/// Changes that are one entry of the log, and what follows when it is durable.
#[derive(Default)]
pub struct Pending {
    changes: Vec<BrokerChange>,
    deliveries: Vec<Delivery>,
    bytes: usize,
}

impl Pending {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// About how much the log's queue will hold for it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, change: BrokerChange) {
        self.bytes += OVERHEAD;
        self.changes.push(change);
    }

    /// A message that a session gets which is already known to want it, such as a retained one.
    pub fn deliver(
        &mut self,
        keeper: &Keeper,
        subscriber: Arc<dyn Subscriber>,
        message: &Arc<Message>,
        recipient: Recipient,
    ) {
        self.message(message).keep(keeper, subscriber, recipient);
    }

    pub(super) fn message<'a>(&'a mut self, message: &'a Arc<Message>) -> Written<'a> {
        Written { pending: self, message, at: None }
    }

    pub(super) async fn keep(self, keeper: &Keeper, done: impl FnOnce(Result<(), store::Error>) + Send + 'static) {
        let Self { changes, deliveries, bytes } = self;
        if changes.is_empty() {
            return done(Ok(()));
        }
        let deliver = move |result: Result<(), store::Error>| {
            if result.is_ok() {
                for Delivery { subscriber, num, message, recipient } in deliveries {
                    subscriber.kept(num, &message, recipient);
                }
            }
            done(result);
        };
        keeper.keep(changes, bytes, Box::new(deliver)).await;
    }
}

/// One message among what is pending; written once, whoever gets it, and only when somebody must.
pub(super) struct Written<'a> {
    pending: &'a mut Pending,
    pub(super) message: &'a Arc<Message>,
    at: Option<usize>,
}

impl Written<'_> {
    /// It is its topic's retained message.
    pub(super) fn retain(&mut self, keeper: &Keeper) {
        if let Some(BrokerChange::Published { retained, .. }) = self.change(keeper) {
            *retained = true;
        }
    }

    pub(super) fn keep(&mut self, keeper: &Keeper, subscriber: Arc<dyn Subscriber>, recipient: Recipient) {
        self.pending.bytes += OVERHEAD;
        let message = self.message.clone();
        if let Some(BrokerChange::Published { num, to, .. }) = self.change(keeper) {
            let num = *num;
            to.push(recipient.clone());
            self.pending.deliveries.push(Delivery { subscriber, num, message, recipient });
        }
    }

    fn change(&mut self, keeper: &Keeper) -> Option<&mut BrokerChange> {
        if self.at.is_none() {
            self.at = Some(self.pending.changes.len());
            let now = Now { instant: Instant::now(), ms: clock::now_ms() };
            self.pending.bytes += OVERHEAD + self.message.size();
            self.pending.changes.push(BrokerChange::Published {
                num: keeper.next_message(),
                message: StoredMessage::of(self.message, now),
                retained: false,
                to: Vec::new(),
            });
        }
        self.at.and_then(|at| self.pending.changes.get_mut(at))
    }
}
