//! Ordinary topics: the subscriptions of all clients, and the retained messages. Decides who gets a message, who may be waited for, and
//! what must be durable first. Does not know devices, packets or sockets; reads no clock, never waits and never writes: its caller does
//! (`crates/pubsub`).

mod counts;
mod host_topics;
mod numbers;
mod pending;
mod retained;
mod shared;
mod slow_consumer;
mod subscriber;
mod trie;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use prometheus_client::metrics::counter::Counter;

pub use self::trie::memory_bytes;
pub use self::{
    counts::Counts,
    host_topics::Statistics,
    numbers::Numbers,
    pending::{PendingChanges, ReservedPlaces},
    retained::Page,
    slow_consumer::{SLOW_CONSUMER_WAIT, SlowConsumer, WaitBudget},
    subscriber::{Delivered, Delivery, Options, Subscriber, UntilRoom},
};
use self::{
    counts::Subscriptions,
    host_topics::{Watchers, trie_key},
    pending::PendingMessage,
    retained::Retained,
    shared::{Group, Member},
    trie::Trie,
};
use switchbox_model::{
    Message, QoS,
    broker::{BrokerChange, ClockReading, Owner, RetainedDoc},
    limits::LimitName,
};
pub use switchbox_rules::topic::{TopicError, check_filter, check_name, is_shared, matched_part, matches};
use switchbox_support::{log_limit::LogLimit, metrics::Metrics};

/// Topics in one entry of the journal at most, because each may be long.
const TOPICS_AT_ONCE: usize = 64;

/// Takes a change that no caller waits for.
pub type Unawaited = dyn Fn(BrokerChange) + Send + Sync;

/// The subscriber of a filter in the trie.
#[derive(Clone)]
enum Target {
    One { subscriber: Arc<dyn Subscriber>, options: Options },
    Group(Arc<Group>),
}

/// The subscriptions and the retained messages.
pub struct TopicTable {
    /// The groups of shared subscriptions, by their filters. Locked before `trie`.
    groups: Mutex<HashMap<Arc<str>, Arc<Group>>>,
    /// Locked only to change it and to take a snapshot: messages are matched without the lock. One that is being matched may still go to a
    /// subscriber that has unsubscribed, as one that is being offered may.
    trie: RwLock<Trie<Target>>,
    retained: Mutex<Retained>,
    /// Limits the log lines about retained messages for which there was no room.
    log_limit: Mutex<LogLimit>,
    /// How many subscriptions there are to topics of the host.
    watchers: Watchers,
    subscriptions: Subscriptions,
    /// Makes the statistics under `$SYS/` for new subscriptions.
    statistics: OnceLock<Box<Statistics>>,
    metrics: Metrics,
    /// Counters of messages for which a subscriber had no room. One published message may count many times.
    dropped_counters: [Counter; 3],
    /// Gives the numbers of sessions and messages in the journal.
    numbers: Numbers,
    /// Journals changes that no caller waits for: after a crash the journal may lack them.
    unawaited: Box<Unawaited>,
}

/// The publisher of a message.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The publisher's id as a subscriber, for subscriptions with the option no-local.
    pub subscriber: Option<u64>,
    /// The owner whose quota a retained message counts against.
    pub owner: Owner,
    /// Whether the publisher gets reason codes. If so, a retained message for which there is no room is refused and not delivered.
    pub reads_refusals: bool,
    /// The publisher waits for subscribers whose queues are full. False if it has used up its budget for waiting.
    pub waits: bool,
}

impl Publisher {
    /// A publisher that is not a connected client.
    #[must_use]
    pub fn of(owner: Owner) -> Self {
        Self { subscriber: None, owner, reads_refusals: false, waits: true }
    }
}

/// A message for one subscriber, to be delivered or waiting for room in its queue.
pub struct SubscriberDelivery {
    /// The subscriber's id.
    id: u64,
    subscriber: Arc<dyn Subscriber>,
    delivery: Delivery,
}

impl SubscriberDelivery {
    fn new(subscriber: Arc<dyn Subscriber>, delivery: Delivery) -> Self {
        Self { id: subscriber.id(), subscriber, delivery }
    }

    #[must_use]
    pub fn subscriber(&self) -> &Arc<dyn Subscriber> {
        &self.subscriber
    }

    fn is_worth_waiting_for(&self) -> bool {
        self.delivery.qos != QoS::AtMostOnce && !self.subscriber.wait_allowance().is_zero()
    }
}

/// Groups of shared subscriptions are subscribers of the trie too, with ids from here on.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1 << 63);

impl TopicTable {
    #[must_use]
    pub fn new(metrics: Metrics, numbers: Numbers, unawaited: Box<Unawaited>, now: Instant) -> Self {
        let dropped_counters = metrics.queue_full();
        Self {
            dropped_counters,
            groups: Mutex::default(),
            trie: RwLock::default(),
            retained: Mutex::default(),
            log_limit: Mutex::new(LogLimit::new(1, now)),
            watchers: Watchers::default(),
            subscriptions: Subscriptions::default(),
            statistics: OnceLock::new(),
            metrics,
            numbers,
            unawaited,
        }
    }

    #[must_use]
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Restores the stored retained messages that have not expired.
    pub fn restore_retained(&self, docs: Vec<RetainedDoc>, now: ClockReading) {
        let (expired, live): (Vec<_>, Vec<_>) = docs.into_iter().partition(|doc| doc.message.is_expired(now.ms));
        self.forget_retained(&expired.into_iter().map(|doc| doc.message.topic).collect::<Vec<_>>(), now);
        let mut retained = self.retained.lock();
        for RetainedDoc { message, owner } in live {
            retained.restore(&Arc::new(message.restore(now)), owner);
        }
    }

    /// The retained messages, after those that expired were removed.
    fn live_retained(&self, now: ClockReading) -> MutexGuard<'_, Retained> {
        let mut retained = self.retained.lock();
        let expired = retained.purge(now.instant);
        self.forget_retained(&expired, now);
        retained
    }

    /// Journals that retained messages expired. After a crash the journal may lack this, and the next start finds them expired again.
    fn forget_retained(&self, expired: &[Arc<str>], now: ClockReading) {
        for topics in expired.chunks(TOPICS_AT_ONCE) {
            (self.unawaited)(BrokerChange::RetainedExpired { topics: topics.to_vec(), time_ms: now.ms });
        }
    }

    /// Adds a subscription with a checked filter. Returns true if the subscriber had this filter already; its options are replaced then.
    pub fn subscribe(&self, filter: &str, subscriber: &Arc<dyn Subscriber>, options: Options) -> bool {
        let had_filter = self.insert(filter, subscriber.clone(), options);
        if !had_filter {
            self.watchers.add(filter);
            self.subscriptions.add(filter);
        }
        had_filter
    }

    fn insert(&self, filter: &str, subscriber: Arc<dyn Subscriber>, options: Options) -> bool {
        if !is_shared(filter) {
            let id = subscriber.id();
            return self.trie.write().insert(&trie_key(filter), id, Target::One { subscriber, options });
        }
        let member = Member { subscriber, options };
        let mut groups = self.groups.lock();
        if let Some(group) = groups.get(filter) {
            return group.join(member);
        }
        let group = Arc::new(Group::new(NEXT_GROUP.fetch_add(1, Ordering::Relaxed), filter));
        group.join(member);
        groups.insert(group.filter.clone(), group.clone());
        self.trie.write().insert(&trie_key(filter), group.id, Target::Group(group))
    }

    /// Removes a subscription. Returns true if the subscriber had this filter.
    pub fn unsubscribe(&self, filter: &str, subscriber: u64) -> bool {
        let had_filter = self.remove(filter, subscriber);
        if had_filter {
            self.watchers.remove(filter);
            self.subscriptions.remove(filter);
        }
        had_filter
    }

    fn remove(&self, filter: &str, subscriber: u64) -> bool {
        if !is_shared(filter) {
            return self.trie.write().remove(&trie_key(filter), subscriber);
        }
        let mut groups = self.groups.lock();
        let Some(group) = groups.get(filter).cloned() else { return false };
        let had_filter = group.leave(subscriber);
        if group.is_empty() {
            groups.remove(filter);
            self.trie.write().remove(&trie_key(filter), group.id);
        }
        had_filter
    }

    /// Returns true if a client subscribes to events of devices.
    #[must_use]
    pub fn has_device_watchers(&self) -> bool {
        self.watchers.has_devices()
    }

    /// Returns true if a client subscribes to the host's statistics.
    #[must_use]
    pub fn has_statistics_watchers(&self) -> bool {
        self.watchers.has_statistics()
    }

    /// Sets the function that makes the statistics for new subscriptions. Only the first call has an effect.
    pub fn set_statistics(&self, statistics: Box<Statistics>) {
        let _ = self.statistics.set(statistics);
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.subscriptions.counts(self.retained.lock().count())
    }

    /// Delivers a message of the host, under `registries/` or `$SYS/`, to its subscribers. Does not wait: a subscriber whose queue is full
    /// misses the message, and that is counted. Nothing is journaled.
    pub fn publish_host_message(&self, message: &Arc<Message>, now: ClockReading) {
        let (offers, groups) = self.targets(message, &trie_key(&message.topic), None);
        let mut pending = PendingChanges::default();
        let mut pending_message = pending.message(message, now);
        let full = offers.into_iter().filter_map(|offer| self.offer(&mut pending_message, offer, false)).count();
        let full =
            full + groups.into_iter().filter_map(|group| self.offer_to_group(&mut pending_message, &group)).count();
        (0..full).for_each(|_| self.count_dropped());
    }

    /// A page of the retained messages that match, in the order of their topics, after the topic `after` if it is given.
    #[must_use]
    pub fn retained(&self, filter: &str, after: Option<&str>, now: ClockReading) -> Page {
        let candidates = self.live_retained(now).candidates(filter, after);
        let mut page = candidates.matching(filter);
        if let Some(statistics) = self.statistics.get().filter(|_| host_topics::is_of_statistics(filter)) {
            host_topics::merge(&mut page, statistics(), filter, after);
        }
        page
    }

    /// The messages that have replaced these of a page. A subscriber that was offered the page gets them after it: it may have had them
    /// before, as its subscription began before the page was made.
    #[must_use]
    pub fn newer_retained(&self, messages: &[Arc<Message>]) -> Vec<Arc<Message>> {
        self.retained.lock().newer(messages)
    }

    /// Delivers a message to another member of a shared subscription, as the member that had it does not acknowledge it any more. Returns a
    /// member whose queue is full and for which it is worth waiting.
    #[must_use]
    pub fn deliver_shared(
        &self,
        filter: &str,
        message: &Arc<Message>,
        pending: &mut PendingChanges,
        now: ClockReading,
    ) -> Option<SubscriberDelivery> {
        let group = self.groups.lock().get(filter).cloned()?;
        self.offer_to_group(&mut pending.message(message, now), &group)
    }

    /// Stores the message if it is a retained one, and offers it to all matching subscribers. Returns the deliveries to full queues
    /// that are worth waiting for, and adds to `pending` what has to be durable first. Returns the limit that was hit as an error
    /// only if the publisher gets reason codes: there is no room for one more retained message, and the message was not delivered.
    pub fn deliver(
        &self,
        message: &Arc<Message>,
        publisher: &Publisher,
        pending: &mut PendingChanges,
        now: ClockReading,
    ) -> Result<Vec<SubscriberDelivery>, LimitName> {
        let mut pending_message = pending.message(message, now);
        if message.retain {
            // Held until the message has its number, so that the numbers are in the order of the table.
            let mut retained = self.live_retained(now);
            match retained.set(message, &publisher.owner) {
                Ok(()) => pending_message.retain(&self.numbers, &publisher.owner),
                Err(limit) => {
                    drop(retained);
                    self.metrics.limit(limit);
                    if publisher.reads_refusals {
                        return Err(limit);
                    }
                    self.log_not_retained(&message.topic, &publisher.owner, limit, now.instant);
                }
            }
        }
        let (offers, groups) = self.targets(message, &message.topic, publisher.subscriber);
        let mut full: Vec<_> =
            offers.into_iter().filter_map(|offer| self.offer(&mut pending_message, offer, publisher.waits)).collect();
        full.extend(groups.into_iter().filter_map(|group| self.offer_to_group(&mut pending_message, &group)));
        Ok(full)
    }

    fn log_not_retained(&self, topic: &str, owner: &Owner, limit: LimitName, now: Instant) {
        if let Some(more) = self.log_limit.lock().allow(now) {
            tracing::warn!(topic, %owner, %limit, "a retained message was not kept: there are too many{more}");
        }
    }

    /// Offers a message again to a subscriber that had no room. Returns the delivery if there is still none.
    pub fn offer_again(
        &self,
        message: &Arc<Message>,
        offer: SubscriberDelivery,
        pending: &mut PendingChanges,
        now: ClockReading,
    ) -> Option<SubscriberDelivery> {
        self.offer(&mut pending.message(message, now), offer, true)
    }

    /// Offers the message to one subscriber. Returns the delivery if the subscriber's queue is full and the publisher should wait for it.
    fn offer(
        &self,
        message: &mut PendingMessage<'_>,
        offer: SubscriberDelivery,
        waits: bool,
    ) -> Option<SubscriberDelivery> {
        let SubscriberDelivery { subscriber, delivery, .. } = &offer;
        if !waits && subscriber.is_queue_full() {
            self.count_dropped();
            return None;
        }
        match subscriber.deliver(message.message, delivery.clone()) {
            Delivered::Queued | Delivered::Dropped => return None,
            Delivered::JournalFirst(recipient) => {
                message.journal_for(&self.numbers, subscriber.clone(), recipient);
                return None;
            }
            Delivered::Full => {}
        }
        if waits && offer.is_worth_waiting_for() {
            return Some(offer);
        }
        self.count_dropped();
        None
    }

    /// Offers the message to the members of a group until one takes it. If none does, returns the first full one that is worth waiting for.
    fn offer_to_group(&self, message: &mut PendingMessage<'_>, group: &Group) -> Option<SubscriberDelivery> {
        let (mut full, mut is_lost) = (None, false);
        for Member { subscriber, options } in group.in_delivery_order() {
            let delivery = Delivery {
                qos: options.qos.min(message.message.qos),
                retain: message.message.retain && options.retain_as_published,
                ids: options.id.into_iter().collect(),
                shared: Some(group.filter.clone()),
            };
            match subscriber.deliver(message.message, delivery.clone()) {
                Delivered::Queued => return None,
                Delivered::JournalFirst(recipient) => {
                    message.journal_for(&self.numbers, subscriber, recipient);
                    return None;
                }
                Delivered::Dropped => {}
                Delivered::Full => {
                    is_lost = true;
                    full = full.or_else(|| {
                        Some(SubscriberDelivery::new(subscriber, delivery))
                            .filter(SubscriberDelivery::is_worth_waiting_for)
                    });
                }
            }
        }
        if is_lost && full.is_none() {
            self.count_dropped();
        }
        full
    }

    /// Counts a message that a subscriber had no room for.
    pub fn count_dropped(&self) {
        for counter in &self.dropped_counters {
            counter.inc();
        }
    }

    /// The matching subscribers, each once with the highest QoS and all identifiers of its matching subscriptions; and the matching groups.
    /// `publisher`: its id as a subscriber, if it is one.
    fn targets(
        &self,
        message: &Message,
        topic: &str,
        publisher: Option<u64>,
    ) -> (Vec<SubscriberDelivery>, Vec<Arc<Group>>) {
        /// So many subscribers are searched one by one.
        const FEW: usize = 32;
        let mut offers: Vec<SubscriberDelivery> = Vec::new();
        // The index of each offer by the subscriber's id, filled when there are more than a few.
        let mut indices: HashMap<u64, usize> = HashMap::new();
        let mut groups = Vec::new();
        let trie = self.trie.read().clone();
        trie.matching(topic, &mut |id, target| match target {
            Target::Group(group) => groups.push(group.clone()),
            Target::One { options, .. } if options.no_local && publisher == Some(id) => {}
            Target::One { subscriber, options } => {
                let qos = options.qos.min(message.qos);
                let retain = message.retain && options.retain_as_published;
                if offers.len() > FEW && indices.is_empty() {
                    indices.extend(offers.iter().enumerate().map(|(index, offer)| (offer.id, index)));
                }
                let index = match indices.is_empty() {
                    true => offers.iter().position(|offer| offer.id == id),
                    false => indices.get(&id).copied(),
                };
                match index.and_then(|index| offers.get_mut(index)) {
                    Some(SubscriberDelivery { delivery, .. }) => {
                        delivery.qos = delivery.qos.max(qos);
                        delivery.retain |= retain;
                        delivery.ids.extend(options.id);
                    }
                    None => {
                        if !indices.is_empty() {
                            indices.insert(id, offers.len());
                        }
                        offers.push(SubscriberDelivery {
                            id,
                            subscriber: subscriber.clone(),
                            delivery: Delivery { qos, retain, ids: options.id.into_iter().collect(), shared: None },
                        });
                    }
                }
            }
        });
        (offers, groups)
    }
}
