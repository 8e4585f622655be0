//! A client as the topics see it: messages go into its session, or wait for a place that was kept for them while they are written down.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Mailbox;
use crate::gateway::delivery::GatewayDelivery;
use switchbox_model::{
    Message, QoS,
    broker::{MessageNum, Recipient},
};
use switchbox_mqtt_session::{
    session::{Body, Item, Kept, Offer},
    topics::{Delivered, Delivery, Subscriber},
};

impl Subscriber for Mailbox {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, message: &Arc<Message>, delivery: Delivery) -> Delivered {
        let mut state = self.lock();
        let Delivery { qos, retain, ids, shared } = delivery;
        if let (true, Some(session), true) = (state.durable, state.record, qos != QoS::AtMostOnce) {
            self.make_room(&mut state, message.size());
            if let (false, Err(limit)) = (state.online, self.holding.room(message.size())) {
                self.metrics.limit(limit);
                return Delivered::Full;
            }
            let Some(id) = state.session.reserve(message) else {
                self.note_full(&mut state);
                return Delivered::Full;
            };
            if !state.online {
                self.count(&mut state);
            }
            return Delivered::Keep(Recipient { session, id, qos, retain, ids, shared });
        }
        if !state.online && qos == QoS::AtMostOnce {
            return Delivered::Dropped;
        }
        let item = Item { qos, body: Body::Message { message: message.clone(), retain, ids, shared }, kept: None };
        if self.offer(&mut state, item) == Offer::Taken {
            drop(state);
            self.work.wake_now();
            return Delivered::Queued;
        }
        self.note_full(&mut state);
        Delivered::Full
    }

    fn kept(&self, num: MessageNum, message: &Arc<Message>, recipient: Recipient) {
        self.lock().session.offer_kept(kept_item(num, message.clone(), recipient));
        self.work.wake_now();
    }

    fn not_kept(&self, message: &Message, recipient: &Recipient) {
        let mut state = self.lock();
        state.session.give_back(recipient.id, message);
        // Where the session is over, nothing of it counts any more.
        if state.record.is_some() {
            self.count(&mut state);
        }
        self.drained(&mut state);
    }

    fn is_connected(&self) -> bool {
        self.lock().online
    }

    fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    fn slow_consumer(&self) -> Duration {
        let state = self.lock();
        if state.online { state.slow_consumer.left() } else { Duration::ZERO }
    }

    fn waited(&self, from: Instant, until: Instant) {
        self.lock().slow_consumer.waited(from, until);
    }

    fn room(&self) -> &Notify {
        &self.room
    }
}

/// A message that stands in the log, as its session holds it.
pub(crate) fn kept_item(num: MessageNum, message: Arc<Message>, recipient: Recipient) -> Item<GatewayDelivery> {
    let Recipient { id, qos, retain, ids, shared, .. } = recipient;
    Item { qos, body: Body::Message { message, retain, ids, shared }, kept: Some(Kept { num, id }) }
}
