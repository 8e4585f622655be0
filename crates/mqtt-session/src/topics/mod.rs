//! Ordinary topics: who subscribes to what, and the retained messages. Never knows devices, packets or sockets.
//!
//! Where a subscriber's queue is full, QoS 0 is dropped and counted at once, and so is what is for a client that is away:
//! the newest is dropped, what waits already stays. For QoS 1 and 2 to a client that is connected the publisher waits as long
//! as its [`WaitBudget`] and the subscriber's [`SlowConsumer`] allow, then the message is dropped and counted too: waiting for
//! ever would let two clients that publish to each other stop each other.

mod host_topics;
mod pending;
mod retained;
mod session_journal;
mod shared;
mod slow_consumer;
mod subscriber;
#[cfg(test)]
mod tests;
mod trie;
mod wait;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use prometheus_client::metrics::counter::Counter;

pub use self::trie::memory_bytes;
pub use self::{
    host_topics::Statistics,
    pending::PendingChanges,
    session_journal::SessionJournal,
    slow_consumer::{SlowConsumer, WaitBudget},
    subscriber::{Delivered, Delivery, Subscriber},
};
use self::{
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
use switchbox_store::{OnCommit, QueuePermit, QueuePosition, Reply};
use switchbox_support::{clock, log_limit::LogLimit, metrics::Metrics, scheduling};

/// How long all publishers together wait for a subscriber that takes nothing.
pub const SLOW_CONSUMER_WAIT: Duration = Duration::from_secs(1);

/// Topics of one entry of the journal, at most: each may be long.
const TOPICS_AT_ONCE: usize = 64;

/// A subscription's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub id: Option<u32>,
}

/// What a topic leads to.
enum Target {
    One { subscriber: Arc<dyn Subscriber>, options: Options },
    Group(Arc<Group>),
}

#[derive(Default)]
struct Table {
    trie: Trie<Target>,
    groups: HashMap<Arc<str>, Arc<Group>>,
}

struct Inner {
    table: RwLock<Table>,
    retained: Mutex<Retained>,
    /// Of retained messages that there was no room for.
    log_limit: Mutex<LogLimit>,
    watchers: Watchers,
    /// Of all clients, on ordinary topics.
    subscriptions: AtomicUsize,
    statistics: OnceLock<Box<Statistics>>,
    metrics: Metrics,
    /// Of messages that a subscriber had no room for: may be many for each message that is published.
    full: [Counter; 3],
    session_journal: SessionJournal,
}

/// The topics. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

/// Who publishes a message.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// Among the subscribers, for those that want no local messages.
    pub subscriber: Option<u64>,
    /// Whose quota a retained message takes.
    pub owner: Owner,
    /// It is told where a retained message is not kept, and so the message goes to nobody.
    pub reads_refusals: bool,
    /// It waits for subscribers whose queues are full. False: it has used up what it may wait.
    pub waits: bool,
}

impl Publisher {
    /// One that is no client, or is gone.
    #[must_use]
    pub fn of(owner: Owner) -> Self {
        Self { subscriber: None, owner, reads_refusals: false, waits: true }
    }
}

/// Who is to get a message, or could not take it just now.
pub struct SubscriberDelivery {
    /// Of the subscriber.
    id: u64,
    subscriber: Arc<dyn Subscriber>,
    delivery: Delivery,
}

impl SubscriberDelivery {
    fn new(subscriber: Arc<dyn Subscriber>, delivery: Delivery) -> Self {
        Self { id: subscriber.id(), subscriber, delivery }
    }

    fn is_worth_waiting_for(&self) -> bool {
        self.delivery.qos != QoS::AtMostOnce && !self.subscriber.slow_consumer().is_zero()
    }
}

/// Groups stand among the subscribers of the trie, with ids from here on.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(1 << 63);

impl Handle {
    #[must_use]
    pub fn new(metrics: Metrics, session_journal: SessionJournal) -> Self {
        let full = metrics.queue_full();
        Self(Arc::new(Inner {
            full,
            table: RwLock::default(),
            retained: Mutex::default(),
            log_limit: Mutex::new(LogLimit::new(1, Instant::now())),
            watchers: Watchers::default(),
            subscriptions: AtomicUsize::new(0),
            statistics: OnceLock::new(),
            metrics,
            session_journal,
        }))
    }

    #[must_use]
    pub fn session_journal(&self) -> &SessionJournal {
        &self.0.session_journal
    }

    /// Takes up the retained messages of an earlier process, but for those that expired meanwhile.
    pub fn restore_retained(&self, docs: Vec<RetainedDoc>, now: ClockReading) {
        let (expired, live): (Vec<_>, Vec<_>) = docs.into_iter().partition(|doc| doc.message.is_expired(now.ms));
        self.forget_retained(&expired.into_iter().map(|doc| doc.message.topic).collect::<Vec<_>>());
        let mut retained = self.0.retained.lock();
        for RetainedDoc { message, owner } in live {
            retained.restore(&Arc::new(message.restore(now)), owner);
        }
    }

    /// Those of now: what expired is gone.
    fn live_retained(&self) -> MutexGuard<'_, Retained> {
        let mut retained = self.0.retained.lock();
        let expired = retained.purge(clock::instant());
        self.forget_retained(&expired);
        retained
    }

    /// They expired, on the disk too. What is not written of it is found out again at the next start.
    fn forget_retained(&self, expired: &[Arc<str>]) {
        for topics in expired.chunks(TOPICS_AT_ONCE) {
            let (topics, time_ms) = (topics.to_vec(), clock::now_ms());
            self.0.session_journal.submit_unawaited(BrokerChange::RetainedExpired { topics, time_ms });
        }
    }

    /// True when the subscriber had this (checked) filter already; its options are replaced then.
    pub fn subscribe(&self, filter: &str, subscriber: &Arc<dyn Subscriber>, options: Options) -> bool {
        let known = self.insert(filter, subscriber.clone(), options);
        if !known {
            self.0.watchers.add(filter);
            self.0.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        known
    }

    fn insert(&self, filter: &str, subscriber: Arc<dyn Subscriber>, options: Options) -> bool {
        let mut table = self.0.table.write();
        if !is_shared(filter) {
            return table.trie.insert(&trie_key(filter), subscriber.id(), Target::One { subscriber, options });
        }
        let member = Member { subscriber, options };
        if let Some(group) = table.groups.get(filter) {
            return group.join(member);
        }
        let group = Arc::new(Group::new(NEXT_GROUP.fetch_add(1, Ordering::Relaxed), filter));
        group.join(member);
        table.groups.insert(group.filter.clone(), group.clone());
        table.trie.insert(&trie_key(filter), group.id, Target::Group(group))
    }

    /// True when the subscriber had this filter.
    pub fn unsubscribe(&self, filter: &str, subscriber: u64) -> bool {
        let known = self.remove(filter, subscriber);
        if known {
            self.0.watchers.remove(filter);
            self.0.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        known
    }

    fn remove(&self, filter: &str, subscriber: u64) -> bool {
        let mut table = self.0.table.write();
        if !is_shared(filter) {
            return table.trie.remove(&trie_key(filter), subscriber);
        }
        let Some(group) = table.groups.get(filter).cloned() else { return false };
        let left = group.leave(subscriber);
        if group.is_empty() {
            table.groups.remove(filter);
            table.trie.remove(&trie_key(filter), group.id);
        }
        left
    }

    /// True when somebody subscribes to what happens to devices.
    #[must_use]
    pub fn has_device_watchers(&self) -> bool {
        self.0.watchers.of_devices()
    }

    /// True when somebody subscribes to the host's statistics.
    #[must_use]
    pub fn has_statistics_watchers(&self) -> bool {
        self.0.watchers.of_statistics()
    }

    /// What makes the statistics, for those that subscribe to them. The first one that is set stays.
    pub fn set_statistics(&self, statistics: Box<Statistics>) {
        let _ = self.0.statistics.set(statistics);
    }

    /// Subscriptions of all clients on ordinary topics, and retained messages.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.0.subscriptions.load(Ordering::Relaxed), self.0.retained.lock().count())
    }

    /// Delivers what the host shows, under `registries/` and `$SYS/`, to those that subscribe to it. Waits for nobody: one that
    /// is too slow misses it, and it is counted. Nothing is written to the log.
    pub fn publish_host_message(&self, message: &Arc<Message>) {
        let (offers, groups) = self.targets(message, &trie_key(&message.topic), None);
        let mut pending = PendingChanges::default();
        let mut pending_message = pending.message(message);
        let full = offers.into_iter().filter_map(|offer| self.offer(&mut pending_message, offer, false)).count();
        let full =
            full + groups.into_iter().filter_map(|group| self.offer_to_group(&mut pending_message, &group)).count();
        (0..full).for_each(|_| self.count_dropped());
    }

    /// The first of the retained messages that match, by their topics; behind `after`, if it is given.
    #[must_use]
    pub fn retained(&self, filter: &str, after: Option<&str>) -> retained::Page {
        let mut page = self.live_retained().page(filter, after);
        if let Some(statistics) = self.0.statistics.get().filter(|_| host_topics::is_of_statistics(filter)) {
            host_topics::merge(&mut page, statistics(), filter, after);
        }
        page
    }

    /// Delivers to all who subscribed but, where they want no local messages, to `from`. Waits for full queues as the
    /// module's documentation says. What must be durable is on its way to the journal when this returns.
    pub async fn publish(&self, message: Arc<Message>, from: &Publisher, budget: &mut WaitBudget) {
        let mut pending = PendingChanges::default();
        let from = &Publisher { waits: !budget.left(clock::instant()).is_zero(), ..from.clone() };
        let waiting = self.deliver(&message, from, &mut pending).unwrap_or_default();
        if !waiting.is_empty() {
            self.write(std::mem::take(&mut pending)).await;
            Box::pin(self.wait(&message, waiting, &mut pending, budget, std::future::pending())).await;
        }
        self.write(pending).await;
    }

    /// As [`Self::publish`], for tests: nobody's message, with all the time there is at first.
    #[cfg(test)]
    pub async fn publish_alone(&self, message: Arc<Message>) {
        self.publish(message, &Publisher::of(Owner::Everyone), &mut WaitBudget::default()).await;
    }

    /// Delivers to another member of a shared subscription what the one that had it will never take. Gives the member that is
    /// full and worth waiting for.
    #[must_use]
    pub fn deliver_shared(
        &self,
        filter: &str,
        message: &Arc<Message>,
        pending: &mut PendingChanges,
    ) -> Option<SubscriberDelivery> {
        let group = self.0.table.read().groups.get(filter).cloned()?;
        self.offer_to_group(&mut pending.message(message), &group)
    }

    /// Keeps it as the topic's retained message where it is one, and offers it to all who match. Gives who is full and
    /// worth waiting for, and adds to `pending` what must be durable first. The error, only for a publisher that reads it:
    /// the limit that leaves no room for one more retained message, which is delivered to nobody then.
    pub fn deliver(
        &self,
        message: &Arc<Message>,
        from: &Publisher,
        pending: &mut PendingChanges,
    ) -> Result<Vec<SubscriberDelivery>, LimitName> {
        let mut pending_message = pending.message(message);
        if message.retain {
            // Held until the message has its number: the numbers are in the order of the table.
            let mut retained = self.live_retained();
            match retained.set(message, &from.owner) {
                Ok(()) => pending_message.retain(&self.0.session_journal, &from.owner),
                Err(limit) => {
                    drop(retained);
                    self.0.metrics.limit(limit);
                    if from.reads_refusals {
                        return Err(limit);
                    }
                    self.log_not_retained(&message.topic, &from.owner, limit);
                }
            }
        }
        let (offers, groups) = self.targets(message, &message.topic, from.subscriber);
        let mut full: Vec<_> =
            offers.into_iter().filter_map(|offer| self.offer(&mut pending_message, offer, from.waits)).collect();
        full.extend(groups.into_iter().filter_map(|group| self.offer_to_group(&mut pending_message, &group)));
        Ok(full)
    }

    fn log_not_retained(&self, topic: &str, owner: &Owner, limit: LimitName) {
        if let Some(more) = self.0.log_limit.lock().allow(Instant::now()) {
            tracing::warn!(topic, %owner, %limit, "a retained message was not kept: there are too many{more}");
        }
    }

    /// Writes down what is pending. Waits for room in the journal's queue, not for the disk.
    pub async fn write(&self, pending: PendingChanges) {
        let permit = self.reserve_for(&pending).await;
        self.write_with(permit, pending, OnCommit::Nothing);
    }

    /// Waits for room in the journal's queue; none where it needs none.
    pub async fn reserve_for(&self, pending: &PendingChanges) -> Option<QueuePermit> {
        if pending.is_empty() { None } else { self.0.session_journal.reserve(pending.bytes()).await }
    }

    /// As [`Self::write`], at once; what has no room goes as well. Returns the position at which the journal has it; none when the journal is
    /// closed.
    pub fn write_with(
        &self,
        permit: Option<QueuePermit>,
        pending: PendingChanges,
        on_commit: OnCommit,
    ) -> Option<QueuePosition> {
        let (changes, on_commit) = pending.into_parts(on_commit);
        if changes.is_empty() {
            on_commit.run(Ok(Reply::Done));
            return Some(QueuePosition::default());
        }
        self.0.session_journal.submit(changes, permit, on_commit)
    }

    /// Gives it back where its publisher waits and it is worth waiting for room.
    fn offer(
        &self,
        message: &mut PendingMessage<'_>,
        offer: SubscriberDelivery,
        waits: bool,
    ) -> Option<SubscriberDelivery> {
        scheduling::yield_if_due();
        let SubscriberDelivery { subscriber, delivery, .. } = &offer;
        if !waits && subscriber.is_queue_full() {
            self.count_dropped();
            return None;
        }
        match subscriber.deliver(message.message, delivery.clone()) {
            Delivered::Queued | Delivered::Dropped => return None,
            Delivered::JournalFirst(recipient) => {
                message.journal_for(&self.0.session_journal, subscriber.clone(), recipient);
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

    /// To the first member that takes it; gives back the first that is worth waiting for.
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
                    message.journal_for(&self.0.session_journal, subscriber, recipient);
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

    fn count_dropped(&self) {
        for counter in &self.0.full {
            counter.inc();
        }
    }

    /// Each subscriber once, with the highest QoS and all identifiers of its subscriptions that match; and the groups.
    fn targets(&self, message: &Message, topic: &str, from: Option<u64>) -> (Vec<SubscriberDelivery>, Vec<Arc<Group>>) {
        let mut offers: Vec<SubscriberDelivery> = Vec::new();
        let mut groups = Vec::new();
        self.0.table.read().trie.matching(topic, &mut |id, target| match target {
            Target::Group(group) => groups.push(group.clone()),
            Target::One { options, .. } if options.no_local && from == Some(id) => {}
            Target::One { subscriber, options } => {
                let qos = options.qos.min(message.qos);
                let retain = message.retain && options.retain_as_published;
                match offers.iter_mut().find(|offer| offer.id == id) {
                    Some(SubscriberDelivery { delivery, .. }) => {
                        delivery.qos = delivery.qos.max(qos);
                        delivery.retain |= retain;
                        delivery.ids.extend(options.id);
                    }
                    None => offers.push(SubscriberDelivery {
                        id,
                        subscriber: subscriber.clone(),
                        delivery: Delivery { qos, retain, ids: options.id.into_iter().collect(), shared: None },
                    }),
                }
            }
        });
        (offers, groups)
    }
}
