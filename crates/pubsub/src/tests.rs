//! Tests of routing: which subscriber gets which message, how often, and what happens when a queue is full.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::*;
use switchbox_model::{
    QoS,
    broker::{ClockReading, MessageNum, Owner, Recipient, RetainedDoc, StoredExpiry, StoredMessage},
    limits,
};
use switchbox_mqtt_session::topics::{
    Delivered, Delivery, Options, SLOW_CONSUMER_WAIT, SlowConsumer, Subscriber, UntilRoom,
};

struct Fake {
    id: u64,
    room: Notify,
    connected: AtomicBool,
    capacity: Mutex<usize>,
    slow_consumer: Mutex<SlowConsumer>,
    got: Mutex<Vec<(Arc<Message>, Delivery)>>,
}

impl Fake {
    fn new(id: u64, capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            room: Notify::new(),
            connected: AtomicBool::new(true),
            capacity: Mutex::new(capacity),
            slow_consumer: Mutex::default(),
            got: Mutex::default(),
        })
    }

    fn deliveries(&self) -> Vec<Delivery> {
        self.got.lock().iter().map(|(_, d)| d.clone()).collect()
    }
}

impl Subscriber for Fake {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, message: &Arc<Message>, delivery: Delivery) -> Delivered {
        let mut got = self.got.lock();
        if got.len() >= *self.capacity.lock() {
            return Delivered::Full;
        }
        got.push((message.clone(), delivery));
        Delivered::Queued
    }

    fn journaled(&self, _: MessageNum, _: &Arc<Message>, _: Recipient) {}

    fn not_journaled(&self, _: &Message, _: &Recipient) {}

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    fn wait_allowance(&self) -> Duration {
        if self.is_connected() { self.slow_consumer.lock().allowance() } else { Duration::ZERO }
    }

    fn record_wait(&self, from: Instant, until: Instant) {
        self.slow_consumer.lock().record_wait(from, until);
    }

    fn wait_for_room(&self) -> UntilRoom<'_> {
        let mut room = Box::pin(self.room.notified());
        room.as_mut().enable();
        room
    }
}

fn subscribe(topics: &Topics, filter: &str, subscriber: &Arc<Fake>, options: Options) -> bool {
    topics.subscribe(filter, &(subscriber.clone() as Arc<dyn Subscriber>), options)
}

/// Publishes a message without an owner, with a full budget for waiting.
async fn publish_alone(topics: &Topics, message: Arc<Message>) {
    topics.publish(message, &Publisher::of(Owner::Everyone), &mut WaitBudget::default()).await;
}

fn message(topic: &str, qos: QoS, retain: bool) -> Arc<Message> {
    Arc::new(Message { qos, retain, ..Message::new(topic, "x") })
}

#[tokio::test]
async fn overlapping_subscriptions_give_one_delivery() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let subscriber = Fake::new(1, 9);
    let options = |qos, id| Options { qos, id: Some(id), ..Options::default() };
    assert!(!subscribe(&topics, "a/#", &subscriber, options(QoS::AtMostOnce, 1)));
    assert!(!subscribe(&topics, "a/+", &subscriber, options(QoS::AtLeastOnce, 2)));
    assert!(subscribe(&topics, "a/+", &subscriber, options(QoS::AtLeastOnce, 3)));
    publish_alone(&topics, message("a/b", QoS::ExactlyOnce, true)).await;
    let deliveries = subscriber.deliveries();
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].qos, deliveries[0].retain), (QoS::AtLeastOnce, false));
    assert_eq!(deliveries[0].ids, [1, 3]);
}

#[tokio::test]
async fn no_local_and_retain_as_published_are_kept() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let (own, other) = (Fake::new(1, 9), Fake::new(2, 9));
    subscribe(&topics, "a", &own, Options { no_local: true, ..Options::default() });
    subscribe(&topics, "a", &other, Options { retain_as_published: true, ..Options::default() });
    let publisher = Publisher { subscriber: Some(1), ..Publisher::of(Owner::Everyone) };
    topics.publish(message("a", QoS::AtMostOnce, true), &publisher, &mut WaitBudget::default()).await;
    assert!(own.deliveries().is_empty());
    assert!(other.deliveries()[0].retain);
    assert_eq!(topics.retained("#", None, now()).messages.len(), 1);
    assert!(topics.unsubscribe("a", 2) && !topics.unsubscribe("a", 2));
}

/// Publishes to the topic a; the subscriber gets room for this many messages in all while the publisher waits.
async fn publish_while_room_is_made(topics: &Topics, subscriber: &Fake, capacity: usize) {
    let publish = tokio::spawn({
        let topics = topics.clone();
        async move { publish_alone(&topics, message("a", QoS::AtLeastOnce, false)).await }
    });
    tokio::task::yield_now().await;
    *subscriber.capacity.lock() = capacity;
    subscriber.room.notify_waiters();
    publish.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_room() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let subscriber = Fake::new(1, 0);
    subscribe(&topics, "a", &subscriber, Options { qos: QoS::AtLeastOnce, ..Options::default() });
    publish_while_room_is_made(&topics, &subscriber, 1).await;
    assert_eq!(subscriber.deliveries().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_stays_full_loses_the_message_and_it_is_counted() {
    let metrics = Metrics::default();
    let topics = Topics::new(metrics.clone(), SessionJournal::default());
    let subscriber = Fake::new(1, 0);
    subscribe(&topics, "a", &subscriber, Options { qos: QoS::AtLeastOnce, ..Options::default() });
    let before = clock::instant();
    publish_alone(&topics, message("a", QoS::AtLeastOnce, false)).await;
    let took = clock::instant() - before;
    assert!(took >= SLOW_CONSUMER_WAIT / 2, "{took:?}");
    assert_eq!(metrics.limit_hits(limits::names::SESSION_QUEUE), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_takes_nothing_holds_all_publishers_up_once() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let options = Options { qos: QoS::AtLeastOnce, ..Options::default() };
    let (subscriber, other) = (Fake::new(1, 0), Fake::new(2, 99));
    subscribe(&topics, "a/#", &subscriber, options);
    subscribe(&topics, "a/b", &other, options);
    let shared = Fake::new(3, 0);
    subscribe(&topics, "$share/g/a/#", &shared, options);
    publish_alone(&topics, message("a/b", QoS::AtLeastOnce, false)).await;
    // Each publisher waits no longer than its budget lasts: the second for the rest, the others for the other subscriber.
    for _ in 0..3 {
        publish_alone(&topics, message("a/b", QoS::AtLeastOnce, false)).await;
    }
    let everyone = Publisher::of(Owner::Everyone);
    let waiting =
        topics.deliver(&message("a/b", QoS::AtLeastOnce, false), &everyone, &mut PendingChanges::default(), now());
    assert!(waiting.is_ok_and(|waiting| waiting.is_empty()));
    assert_eq!(other.deliveries().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_takes_something_now_and_then_is_waited_for_beside_one_that_takes_nothing() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let options = Options { qos: QoS::AtLeastOnce, ..Options::default() };
    let (stuck, slow) = (Fake::new(1, 0), Fake::new(2, 0));
    stuck.slow_consumer.lock().record_wait(clock::instant(), clock::instant() + SLOW_CONSUMER_WAIT);
    for member in [&stuck, &slow] {
        assert!(!subscribe(&topics, "$share/g/a", member, options));
    }
    for turn in 1..=2 {
        publish_while_room_is_made(&topics, &slow, turn).await;
        assert_eq!((stuck.deliveries().len(), slow.deliveries().len()), (0, turn));
    }
}

#[tokio::test]
async fn members_of_a_shared_subscription_take_turns() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let members = [1, 2, 3].map(|id| Fake::new(id, 99));
    for member in &members {
        assert!(!subscribe(&topics, "$share/g/a/+", member, Options { qos: QoS::AtLeastOnce, ..Options::default() }));
    }
    let alone = Fake::new(4, 99);
    subscribe(&topics, "$share/other/a/#", &alone, Options::default());
    for _ in 0..6 {
        publish_alone(&topics, message("a/b", QoS::AtLeastOnce, false)).await;
    }
    assert_eq!(members.each_ref().map(|member| member.deliveries().len()), [2, 2, 2]);
    assert_eq!(alone.deliveries().len(), 6);
    // A member that is offline or full is passed over while another can take the message.
    members[0].connected.store(false, Ordering::Relaxed);
    *members[1].capacity.lock() = 2;
    for _ in 0..4 {
        publish_alone(&topics, message("a/b", QoS::AtLeastOnce, false)).await;
    }
    assert_eq!(members.each_ref().map(|member| member.deliveries().len()), [2, 2, 6]);
    members[2].connected.store(false, Ordering::Relaxed);
    members[1].connected.store(false, Ordering::Relaxed);
    publish_alone(&topics, message("a/b", QoS::AtLeastOnce, false)).await;
    assert_eq!(members.iter().map(|member| member.deliveries().len()).sum::<usize>(), 11);
    for member in &members {
        assert!(topics.unsubscribe("$share/g/a/+", member.id));
    }
    publish_alone(&topics, message("a/b", QoS::AtLeastOnce, false)).await;
    assert_eq!(members.iter().map(|member| member.deliveries().len()).sum::<usize>(), 11);
    assert!(!topics.unsubscribe("$share/g/a/+", 1));
}

#[tokio::test]
async fn what_a_member_left_goes_to_another() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let (gone, other) = (Fake::new(1, 9), Fake::new(2, 9));
    subscribe(&topics, "$share/g/a", &gone, Options::default());
    subscribe(&topics, "$share/g/a", &other, Options { qos: QoS::AtLeastOnce, ..Options::default() });
    topics.unsubscribe("$share/g/a", 1);
    let deliver = || {
        topics.deliver_shared(
            "$share/g/a",
            &message("a", QoS::AtLeastOnce, false),
            &mut PendingChanges::default(),
            now(),
        )
    };
    assert!(deliver().is_none());
    assert_eq!(other.deliveries()[0].shared.as_deref(), Some("$share/g/a"));
    topics.unsubscribe("$share/g/a", 2);
    assert!(deliver().is_none());
    assert_eq!(other.deliveries().len(), 1);
}

#[test]
fn messages_of_the_host_reach_only_clients_that_named_their_topics() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let filters =
        ["registries/#", "$share/g/registries/+/devices/a/state", "registries/r/devices/b/#", "#", "+/+/#", "$shown/#"];
    let fakes: Vec<_> = (1..).map(|id| Fake::new(id, 9)).take(filters.len()).collect();
    assert!(!topics.has_device_watchers());
    for (filter, fake) in filters.iter().zip(&fakes) {
        assert!(!subscribe(&topics, filter, fake, Options::default()));
    }
    topics.publish_host_message(&message("registries/r/devices/a/state", QoS::AtLeastOnce, false), now());
    let got: Vec<_> = fakes.iter().map(|fake| fake.deliveries().len()).collect();
    assert_eq!(got, [1, 1, 0, 0, 0, 0]);
    assert!(topics.has_device_watchers());
    for (filter, fake) in filters.iter().zip(&fakes) {
        assert!(topics.unsubscribe(filter, fake.id()));
    }
    assert!(!topics.has_device_watchers());
}

#[tokio::test]
async fn what_expired_makes_room_for_new_retained_messages() {
    let metrics = Metrics::default();
    let topics = Topics::new(metrics.clone(), SessionJournal::default());
    let retain = |topic: String, expires| {
        let message = Arc::new(Message { retain: true, expires, ..Message::new(&topic, "x") });
        publish_alone(&topics, message)
    };
    for n in 0..limits::RETAINED {
        retain(format!("old/{n}"), Some(Instant::now())).await;
    }
    retain("new".into(), None).await;
    assert_eq!(topics.retained("#", None, now()).messages.len(), 1);
    assert_eq!(metrics.limit_hits(limits::names::RETAINED_MESSAGES), 0);
}

#[test]
fn what_expired_while_the_host_was_down_is_not_taken_up() {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let now = ClockReading { instant: Instant::now(), ms: 1_000 };
    let stored = |topic: &str, expiry| StoredMessage { expiry, ..StoredMessage::of(&Message::new(topic, "x"), now) };
    let left = [
        stored("over", StoredExpiry::At { at_ms: 1_000, whole_ms: 1_000 }),
        stored("soon", StoredExpiry::At { at_ms: 99_000, whole_ms: 99_000 }),
        stored("never", StoredExpiry::Never),
    ];
    topics.restore_retained(left.map(|message| RetainedDoc { message, owner: Owner::Everyone }).into(), now);
    assert_eq!(topics.counts().retained, 2);
}

/// Messages that a publisher gets delivered to subscribers that each take one message in this time.
async fn published(subscribers: u64, takes_one_every: Duration) -> u64 {
    let topics = Topics::new(Metrics::default(), SessionJournal::default());
    let slow: Vec<_> = (0..subscribers).map(|id| Fake::new(id, 0)).collect();
    for subscriber in &slow {
        subscribe(&topics, "a", subscriber, Options { qos: QoS::AtLeastOnce, ..Options::default() });
        let subscriber = subscriber.clone();
        tokio::spawn(async move {
            loop {
                // Sleeps as a subscriber that is slow; the time is paused.
                tokio::time::sleep(takes_one_every).await;
                *subscriber.capacity.lock() += 1;
                subscriber.slow_consumer.lock().record_sent(1);
                subscriber.room.notify_waiters();
            }
        });
    }
    let (publisher, mut budget, mut count) = (Publisher::of(Owner::Everyone), WaitBudget::default(), 0);
    let until = clock::instant() + Duration::from_secs(3);
    while clock::instant() < until {
        topics.publish(message("a", QoS::AtLeastOnce, false), &publisher, &mut budget).await;
        // Sleeps in place of what a publisher has to do beside: its rate is measured. The time is paused.
        tokio::time::sleep(Duration::from_millis(5)).await;
        count += 1;
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_publisher_keeps_half_of_its_rate_beside_subscribers_that_take_a_message_now_and_then() {
    let cases = [(0, 1_000), (20, 500), (20, 100), (20, 20), (200, 1_000), (1, 100)];
    let running = cases.map(|(many, every_ms)| tokio::spawn(published(many, Duration::from_millis(every_ms))));
    let mut rates = Vec::new();
    for rate in running {
        rates.push(rate.await.unwrap());
    }
    for (case, rate) in cases.iter().zip(&rates) {
        assert!(rate * 2 >= rates[0], "{rate} of {} with {case:?}: {rates:?}", rates[0]);
    }
}
