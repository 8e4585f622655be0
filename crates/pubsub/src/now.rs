//! The calls of the table that need the time, with the time of the call. The table itself reads no clock.

use std::sync::Arc;

use switchbox_model::{
    Message,
    broker::{ClockReading, Recipient},
    limits::LimitName,
};
use switchbox_mqtt_session::topics::{Page, PendingChanges, Publisher, Subscriber, SubscriberDelivery};
use switchbox_support::clock;

use crate::Topics;

pub(crate) fn now() -> ClockReading {
    ClockReading { instant: clock::instant(), ms: clock::now_ms() }
}

impl Topics {
    /// See [`TopicTable::deliver`](switchbox_mqtt_session::topics::TopicTable::deliver).
    pub fn deliver(
        &self,
        message: &Arc<Message>,
        from: &Publisher,
        pending: &mut PendingChanges,
    ) -> Result<Vec<SubscriberDelivery>, LimitName> {
        self.table.deliver(message, from, pending, now())
    }

    /// See [`TopicTable::deliver_shared`](switchbox_mqtt_session::topics::TopicTable::deliver_shared).
    #[must_use]
    pub fn deliver_shared(
        &self,
        filter: &str,
        message: &Arc<Message>,
        pending: &mut PendingChanges,
    ) -> Option<SubscriberDelivery> {
        self.table.deliver_shared(filter, message, pending, now())
    }

    /// See [`TopicTable::publish_host_message`](switchbox_mqtt_session::topics::TopicTable::publish_host_message).
    pub fn publish_host_message(&self, message: &Arc<Message>) {
        self.table.publish_host_message(message, now());
    }

    /// See [`TopicTable::retained`](switchbox_mqtt_session::topics::TopicTable::retained).
    #[must_use]
    pub fn retained(&self, filter: &str, after: Option<&str>) -> Page {
        self.table.retained(filter, after, now())
    }

    /// Adds a message for one session whose place is reserved already, such as a retained message, to the pending changes.
    pub fn deliver_when_durable(
        &self,
        subscriber: Arc<dyn Subscriber>,
        message: &Arc<Message>,
        recipient: Recipient,
        pending: &mut PendingChanges,
    ) {
        pending.deliver(self.numbers(), subscriber, message, recipient, now());
    }
}
