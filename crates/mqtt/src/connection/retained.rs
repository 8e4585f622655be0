//! The retained messages of new subscriptions. They are queued in the session as it has room; in between, only the position in the retained
//! messages is held.

use crate::{
    connection::{Connection, RetainedCursor},
    end::ConnectionEnd,
    presence::Presence,
};
use switchbox_mqtt_session::topics::{Delivered, Delivery, PendingChanges, Subscriber as _};

/// How often the messages of a page are looked up again at most, because they were replaced meanwhile.
const PASSES: usize = 4;

impl Connection {
    /// Queues as many retained messages as there is room for. The rest waits, after those of earlier subscriptions.
    pub(crate) fn begin_retained(&mut self, cursor: RetainedCursor, pending: &mut PendingChanges) {
        self.forget_retained(&cursor.filter);
        let unfinished =
            if self.retained_cursors.is_empty() { self.offer_retained(cursor, pending) } else { Some(cursor) };
        self.retained_cursors.extend(unfinished);
    }

    /// Removes the position of a subscription that ended or begins anew.
    pub(crate) fn forget_retained(&mut self, filter: &str) {
        self.retained_cursors.retain(|cursor| *cursor.filter != *filter);
    }

    /// Returns true if retained messages wait and the queue is half empty. The next page is not looked up for each place that becomes free.
    pub(crate) fn has_room_for_retained(&self) -> bool {
        !self.retained_cursors.is_empty() && self.presence.mailbox.lock().session.is_half_empty()
    }

    /// Queues pages of retained messages, one subscription after the other, until one has messages left.
    pub(crate) async fn send_retained(&mut self) -> Result<(), ConnectionEnd> {
        let mut pending = PendingChanges::default();
        let mut cursors = std::mem::take(&mut self.retained_cursors).into_iter();
        let unfinished = cursors.find_map(|cursor| self.offer_retained(cursor, &mut pending));
        self.retained_cursors = unfinished.into_iter().chain(cursors).collect();
        self.write_durably(pending).await
    }

    /// Queues one page of retained messages. Returns the position of the next page, or `None` if this was the last.
    fn offer_retained(&self, mut cursor: RetainedCursor, pending: &mut PendingChanges) -> Option<RetainedCursor> {
        let Presence { shared, mailbox, .. } = &self.presence;
        let now = switchbox_pubsub::now();
        let page_start = cursor.after.clone();
        let page = shared.topics.retained(&cursor.filter, cursor.after.as_deref(), now);
        let mut messages = page.messages;
        // A message that replaces one of the page meanwhile may be queued before it, and is queued again after it.
        for _ in 0..PASSES {
            for message in &messages {
                let qos = cursor.qos.min(message.qos);
                let delivery = Delivery { qos, retain: true, ids: cursor.id.into_iter().collect(), shared: None };
                match mailbox.deliver(message, delivery) {
                    Delivered::Queued | Delivered::Dropped => {}
                    Delivered::JournalFirst(recipient) => {
                        pending.deliver(shared.topics.numbers(), mailbox.clone(), message, recipient, now);
                    }
                    Delivered::Full => return Some(cursor),
                }
                cursor.after = Some(message.topic.clone());
            }
            messages = shared.topics.newer_retained(&messages);
            if messages.is_empty() {
                break;
            }
            // If there is no room for them, the page is offered again.
            cursor.after.clone_from(&page_start);
        }
        cursor.after = Some(page.next?);
        Some(cursor)
    }
}
