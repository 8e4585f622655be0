//! The queue by which other threads hand deliveries and journaled messages to a session without its lock. The items are moved into the
//! session, in their order, when the session's lock is taken next, mostly by the connection's task. So the journal's writer never waits for
//! a connection.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::device_delivery::DeviceDelivery;
use switchbox_model::{
    Message,
    broker::{MessageNum, Recipient},
    limits,
};
use switchbox_mqtt_session::session::Deliverable as _;

/// Room for items that is made when a second one waits: a commit often has several for a client.
const MORE_ITEMS: usize = 15;

/// An item that is not in the session yet.
#[derive(Debug)]
pub(super) enum InboxItem {
    Delivery {
        /// The epoch of the connection that the delivery is for.
        connection_epoch: u64,
        delivery: DeviceDelivery,
        /// For an attached device: set when the device is detached.
        detached: Option<Arc<OnceLock<String>>>,
    },
    /// An answer to a request of the client.
    Reply(Arc<Message>),
    /// A journaled message, whose place in the session's queue is reserved.
    Journaled { num: MessageNum, message: Arc<Message>, recipient: Recipient },
}

#[derive(Debug, Default)]
struct InboxItems {
    items: Vec<InboxItem>,
    /// How many of the items are deliveries that count against the session's queue.
    counted: usize,
    /// The bytes of those.
    counted_bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<InboxItems>,
    is_filled: AtomicBool,
}

impl Inbox {
    /// Adds an item. `queued`: the item is a delivery that counts against the session's queue, which has this many messages and bytes now.
    /// Returns false if the queue would be over its limits.
    pub(super) fn push(&self, item: InboxItem, queued: Option<(usize, usize)>) -> bool {
        let mut waiting = self.waiting.lock();
        if let Some((queued, queued_bytes)) = queued {
            let bytes = match &item {
                InboxItem::Delivery { delivery, .. } => delivery.size(),
                InboxItem::Journaled { .. } | InboxItem::Reply(_) => 0,
            };
            let has_room = queued + waiting.counted < limits::SESSION_QUEUE
                && queued_bytes + waiting.counted_bytes + bytes <= limits::SESSION_QUEUE_BYTES;
            if !has_room {
                return false;
            }
            waiting.counted += 1;
            waiting.counted_bytes += bytes;
        }
        if waiting.items.is_empty() {
            // Mostly one item waits, and an empty inbox holds no memory.
            waiting.items.reserve_exact(1);
        } else if waiting.items.len() == waiting.items.capacity() {
            waiting.items.reserve(MORE_ITEMS);
        }
        waiting.items.push(item);
        self.is_filled.store(true, Ordering::Release);
        true
    }

    /// Deliveries that count against the session's queue, and their bytes.
    pub(super) fn counted(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.counted, waiting.counted_bytes)
    }

    /// Takes all items. The caller holds the session's lock, which keeps the order.
    pub(super) fn take(&self) -> Vec<InboxItem> {
        if !self.is_filled.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut waiting = self.waiting.lock();
        self.is_filled.store(false, Ordering::Relaxed);
        std::mem::take(&mut *waiting).items
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        time::Duration,
    };

    use crate::{
        dialect::Dialect,
        mailbox::{DeviceLink, Mailbox},
        offline_sessions::OfflineSessions,
        subscriptions::SubscriptionTarget,
    };
    use switchbox_delivery::{DownlinkKind, Link, Outbound, OutboundCommand};
    use switchbox_model::{Message, QoS, broker::Owner, limits};
    use switchbox_pubsub::SessionJournal;
    use switchbox_support::metrics::Metrics;
    use switchbox_testing::config_version;

    fn mailbox() -> Arc<Mailbox> {
        let owner_quota = OfflineSessions::new(9).owner_quota(Owner::Everyone);
        let mailbox = Mailbox::new("lamp-1".into(), Metrics::default(), owner_quota, SessionJournal::default());
        for (filter, kind) in [("config", DownlinkKind::Config), ("commands/#", DownlinkKind::Commands)] {
            let target = SubscriptionTarget::Downlink(kind, QoS::AtLeastOnce);
            mailbox.insert_subscription(format!("/devices/lamp-1/{filter}").into(), target, None);
        }
        mailbox
    }

    #[test]
    fn an_answer_waits_for_no_lock_of_the_session_and_reaches_a_client_that_takes_answers() {
        let mailbox = mailbox();
        let _ = mailbox.begin(10);
        let encoding = mailbox.lock();
        let (sender, receiver) = mpsc::sync_channel(1);
        let writer = std::thread::spawn({
            let mailbox = mailbox.clone();
            move || {
                mailbox.reply(Arc::new(Message::new("$iothub/twin/res/204/?$rid=1", "")));
                sender.send(()).unwrap();
            }
        });
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(()));
        drop(encoding);
        writer.join().unwrap();
        assert_eq!(mailbox.lock().session.queued(), 0, "it has not subscribed to answers");
        mailbox.insert_subscription("$iothub/twin/res/#".into(), SubscriptionTarget::Replies, None);
        mailbox.reply(Arc::new(Message::new("$iothub/twin/res/204/?$rid=2", "")));
        assert_eq!(mailbox.lock().session.queued(), 1);
    }

    fn link(mailbox: &Arc<Mailbox>) -> DeviceLink {
        DeviceLink { connection_epoch: mailbox.begin(10), mailbox: mailbox.clone(), dialect: Dialect::IotCore }
    }

    fn config(version: u64) -> Outbound {
        Outbound::Config(config_version(version, "on"))
    }

    fn command(num: u64) -> Outbound {
        let (id, subfolder, properties) = (num.to_string().into(), "".into(), Box::default());
        OutboundCommand { num, id, subfolder, payload: "x".into(), properties, again: false, expires: None }.into()
    }

    #[test]
    fn a_delivery_waits_for_no_lock_of_the_session() {
        let mailbox = mailbox();
        let link = link(&mailbox);
        let encoding = mailbox.lock();
        let (sender, receiver) = mpsc::sync_channel(1);
        let writer = std::thread::spawn(move || {
            sender.send((link.deliver(config(1)), link.confirms_commands(), link.has_room())).unwrap();
        });
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok((true, true, true)));
        assert_eq!(encoding.session.queued(), 0);
        drop(encoding);
        assert_eq!(mailbox.lock().session.queued(), 1);
        writer.join().unwrap();
    }

    #[test]
    fn what_is_for_an_earlier_connection_does_not_reach_the_next() {
        let mailbox = mailbox();
        let earlier = link(&mailbox);
        assert!(earlier.queue(config(1)));
        mailbox.end();
        let later = link(&mailbox);
        assert_eq!(mailbox.lock().session.queued(), 0);
        assert!(!earlier.queue(config(2)) && later.queue(config(2)));
        assert_eq!(mailbox.lock().session.queued(), 1);
    }

    #[test]
    fn no_more_commands_are_handed_over_than_the_queue_holds() {
        let mailbox = mailbox();
        let link = link(&mailbox);
        let max = limits::SESSION_QUEUE as u64;
        let half = (1..=max / 2).filter(|num| link.queue(command(*num))).count();
        assert_eq!(mailbox.lock().session.queued(), half);
        let taken = (1..=max).filter(|num| link.queue(command(*num))).count();
        assert_eq!((half + taken) as u64, max);
        assert!(!link.has_room() && link.queue(config(1)), "the newest config is taken all the same");
    }
}
