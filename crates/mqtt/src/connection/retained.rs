//! The retained messages of new subscriptions. They are queued in the session as it has room; in between, only the position in the retained
//! messages is held.

use crate::{
    connection::{Connection, RetainedLeft},
    end::ConnectionEnd,
    presence::Presence,
};
use switchbox_mqtt_session::topics::{Delivered, Delivery, PendingChanges, Subscriber as _};

/// How often a page's messages that were replaced meanwhile are looked up, at most.
const PASSES: usize = 4;

impl Connection {
    /// Queues as many retained messages as there is room for. The rest waits, after those of earlier subscriptions.
    pub(crate) fn begin_retained(&mut self, new: RetainedLeft, pending: &mut PendingChanges) {
        self.forget_retained(&new.filter);
        let left = if self.retained_left.is_empty() { self.offer_retained(new, pending) } else { Some(new) };
        self.retained_left.extend(left);
    }

    /// The subscription ended.
    pub(crate) fn forget_retained(&mut self, filter: &str) {
        self.retained_left.retain(|left| *left.filter != *filter);
    }

    /// Returns true if retained messages wait and the queue is half empty. The next page is not looked up for each place that becomes free.
    pub(crate) fn has_room_for_retained(&self) -> bool {
        !self.retained_left.is_empty() && self.presence.mailbox.lock().session.is_half_empty()
    }

    pub(crate) async fn send_retained(&mut self) -> Result<(), ConnectionEnd> {
        let mut pending = PendingChanges::default();
        let mut left = std::mem::take(&mut self.retained_left).into_iter();
        let unfinished = left.find_map(|next| self.offer_retained(next, &mut pending));
        self.retained_left = unfinished.into_iter().chain(left).collect();
        self.write_durably(pending).await
    }

    /// Queues one page of retained messages. Returns the position of the next page, or `None` if this was the last.
    fn offer_retained(&self, mut left: RetainedLeft, pending: &mut PendingChanges) -> Option<RetainedLeft> {
        let Presence { shared, mailbox, .. } = &self.presence;
        let now = switchbox_pubsub::now();
        let before = left.after.clone();
        let page = shared.topics.retained(&left.filter, left.after.as_deref(), now);
        let mut messages = page.messages;
        // What replaces a message of the page meanwhile may be queued before it, and is queued again after it.
        for _ in 0..PASSES {
            for message in &messages {
                let qos = left.qos.min(message.qos);
                let delivery = Delivery { qos, retain: true, ids: left.id.into_iter().collect(), shared: None };
                match mailbox.deliver(message, delivery) {
                    Delivered::Queued | Delivered::Dropped => {}
                    Delivered::JournalFirst(recipient) => {
                        pending.deliver(shared.topics.numbers(), mailbox.clone(), message, recipient, now);
                    }
                    Delivered::Full => return Some(left),
                }
                left.after = Some(message.topic.clone());
            }
            messages = shared.topics.newer_retained(&messages);
            if messages.is_empty() {
                break;
            }
            // If there is no room for them, the page is offered again.
            left.after.clone_from(&before);
        }
        left.after = Some(page.next?);
        Some(left)
    }
}
