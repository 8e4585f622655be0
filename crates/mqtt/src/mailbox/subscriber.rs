//! A client as a subscriber: messages are queued in its session, or get a reserved place and are queued when they are durable.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{Mailbox, inbox::InboxItem};
use crate::device_delivery::DeviceDelivery;
use switchbox_model::{
    Message, QoS,
    broker::{MessageNum, Recipient},
};
use switchbox_mqtt_session::{
    session::{Body, Item, Journaled, OfferResult},
    topics::{Delivered, Delivery, Subscriber, UntilRoom},
};
use switchbox_support::threads;

impl Subscriber for Mailbox {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, message: &Arc<Message>, delivery: Delivery) -> Delivered {
        // A message may have many subscribers.
        threads::yield_if_due();
        let mut state = self.lock();
        let Delivery { qos, retain, ids, shared } = delivery;
        if let (true, Some(session), true) = (state.durable, state.session_num, qos != QoS::AtMostOnce) {
            self.make_room(&mut state, message.size());
            if let (false, Err(limit)) = (state.online, self.owner_quota.check_room(message.size())) {
                self.metrics.limit(limit);
                return Delivered::Full;
            }
            let Some(id) = state.session.reserve(message) else {
                self.mark_queue_full(&mut state);
                return Delivered::Full;
            };
            if !state.online {
                self.update_quota(&mut state);
            }
            return Delivered::JournalFirst(Recipient { session, id, qos, retain, ids, shared });
        }
        if !state.online && qos == QoS::AtMostOnce {
            return Delivered::Dropped;
        }
        let item = Item { qos, body: Body::matched(message.clone(), retain, ids, shared), journaled: None };
        if self.offer(&mut state, item) == OfferResult::Taken {
            drop(state);
            self.work.wake_now();
            return Delivered::Queued;
        }
        self.mark_queue_full(&mut state);
        Delivered::Full
    }

    fn journaled(&self, num: MessageNum, message: &Arc<Message>, recipient: Recipient) {
        self.inbox.push(InboxItem::Journaled { num, message: message.clone(), recipient }, None);
        self.work.wake_now();
    }

    fn not_journaled(&self, message: &Message, recipient: &Recipient) {
        let mut state = self.lock();
        state.session.unreserve(recipient.id, message);
        // An ended session counts for nothing any more.
        if state.session_num.is_some() {
            self.update_quota(&mut state);
        }
        self.notify_room(&mut state);
    }

    fn is_connected(&self) -> bool {
        self.lock().online
    }

    fn is_queue_full(&self) -> bool {
        self.queue_full.load(Ordering::Relaxed)
    }

    fn wait_allowance(&self) -> Duration {
        let state = self.lock();
        if state.online { state.slow_consumer.allowance() } else { Duration::ZERO }
    }

    fn record_wait(&self, from: Instant, until: Instant) {
        self.lock().slow_consumer.record_wait(from, until);
    }

    fn wait_for_room(&self) -> UntilRoom<'_> {
        let mut notified = Box::pin(self.room_freed.notified());
        notified.as_mut().enable();
        notified
    }
}

/// A journaled message as an item of a session.
pub(crate) fn journaled_item(num: MessageNum, message: Arc<Message>, recipient: Recipient) -> Item<DeviceDelivery> {
    let Recipient { id, qos, retain, ids, shared, .. } = recipient;
    Item { qos, body: Body::matched(message, retain, ids, shared), journaled: Some(Journaled { num, id }) }
}
