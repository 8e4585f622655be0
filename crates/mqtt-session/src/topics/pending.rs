//! What publishing brought about and must be durable before anybody is told: written together, then delivered. Holds it;
//! decides nothing.

use std::{sync::Arc, time::Instant};

use super::{SessionJournal, Subscriber};
use switchbox_model::{
    Message,
    broker::{BrokerChange, ClockReading, MessageNum, Owner, Recipient, StoredMessage},
};
use switchbox_store::{self as store, OnCommit, Reply};
use switchbox_support::clock;

/// What a change costs in the journal's queue beside its message, bytes, about.
const OVERHEAD: usize = 96;

/// A place in a subscriber's queue. Given back where nothing comes for it.
struct ReservedPlace {
    subscriber: Arc<dyn Subscriber>,
    num: MessageNum,
    message: Arc<Message>,
    /// None: it is taken.
    recipient: Option<Recipient>,
}

impl ReservedPlace {
    fn fill(mut self) {
        if let Some(recipient) = self.recipient.take() {
            self.subscriber.journaled(self.num, &self.message, recipient);
        }
    }
}

impl Drop for ReservedPlace {
    fn drop(&mut self) {
        if let Some(recipient) = &self.recipient {
            self.subscriber.not_journaled(&self.message, recipient);
        }
    }
}

/// Changes that are one entry of the journal, and what follows when it is durable.
#[derive(Default)]
pub struct PendingChanges {
    changes: Vec<BrokerChange>,
    places: Vec<ReservedPlace>,
    bytes: usize,
}

impl PendingChanges {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// About how much the journal's queue will hold for it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, change: BrokerChange) {
        self.bytes += OVERHEAD;
        self.changes.push(change);
    }

    pub fn extend(&mut self, changes: impl IntoIterator<Item = BrokerChange>) {
        changes.into_iter().for_each(|change| self.push(change));
    }

    /// A message that a session gets which is already known to want it, such as a retained one.
    pub fn deliver(
        &mut self,
        session_journal: &SessionJournal,
        subscriber: Arc<dyn Subscriber>,
        message: &Arc<Message>,
        recipient: Recipient,
    ) {
        self.message(message).journal_for(session_journal, subscriber, recipient);
    }

    pub(super) fn message<'a>(&'a mut self, message: &'a Arc<Message>) -> PendingMessage<'a> {
        PendingMessage { pending: self, message, at: None }
    }

    /// The changes, and what follows when they are durable or never will be: deliveries, then `on_commit`.
    #[must_use]
    pub fn into_parts(self, on_commit: OnCommit) -> (Vec<BrokerChange>, OnCommit) {
        let Self { changes, places, .. } = self;
        if places.is_empty() {
            return (changes, on_commit);
        }
        let deliver = move |result: Result<Reply, store::Error>| {
            if result.is_ok() {
                places.into_iter().for_each(ReservedPlace::fill);
            } else {
                drop(places);
            }
            on_commit.run(result);
        };
        (changes, OnCommit::Call(Box::new(deliver)))
    }
}

/// One message among what is pending; written once for all that get it, and only when it must be durable for one of them.
pub(super) struct PendingMessage<'a> {
    pending: &'a mut PendingChanges,
    pub(super) message: &'a Arc<Message>,
    at: Option<usize>,
}

impl PendingMessage<'_> {
    /// It is its topic's retained message, and takes this one's quota.
    pub(super) fn retain(&mut self, session_journal: &SessionJournal, owner: &Owner) {
        if let Some(BrokerChange::Published { retained, .. }) = self.change(session_journal) {
            *retained = Some(owner.clone());
        }
    }

    pub(super) fn journal_for(
        &mut self,
        session_journal: &SessionJournal,
        subscriber: Arc<dyn Subscriber>,
        recipient: Recipient,
    ) {
        self.pending.bytes += OVERHEAD;
        let message = self.message.clone();
        if let Some(BrokerChange::Published { num, to, .. }) = self.change(session_journal) {
            let num = *num;
            to.push(recipient.clone());
            self.pending.places.push(ReservedPlace { subscriber, num, message, recipient: Some(recipient) });
        }
    }

    fn change(&mut self, session_journal: &SessionJournal) -> Option<&mut BrokerChange> {
        if self.at.is_none() {
            self.at = Some(self.pending.changes.len());
            let now = ClockReading { instant: Instant::now(), ms: clock::now_ms() };
            self.pending.bytes += OVERHEAD + self.message.size();
            self.pending.changes.push(BrokerChange::Published {
                num: session_journal.next_message(),
                message: StoredMessage::of(self.message, now),
                retained: None,
                to: Vec::new(),
            });
        }
        self.at.and_then(|at| self.pending.changes.get_mut(at))
    }
}
