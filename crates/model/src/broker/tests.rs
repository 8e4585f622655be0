//! Stored messages across restarts.

use super::{super::message::PayloadFormat, *};

#[test]
fn a_message_keeps_the_time_it_has_left_and_its_properties() {
    let now = ClockReading { instant: Instant::now(), ms: 1_000_000 };
    let properties =
        MessageProperties { format: PayloadFormat::Utf8, user: vec![("a".into(), "b".into())], ..Default::default() };
    let message = Message {
        qos: QoS::ExactlyOnce,
        retain: true,
        expires: Some(now.instant + Duration::from_secs(10)),
        properties: Some(Box::new(properties)),
        ..Message::new("a", "x")
    };
    let stored = StoredMessage::of(&message, now);
    assert_eq!(stored.expiry, StoredExpiry::At { at_ms: 1_010_000, whole_ms: 10_000 });
    let later = ClockReading { instant: now.instant + Duration::from_secs(5), ms: 1_004_000 };
    let restored = stored.restore(later);
    assert_eq!(restored.expires, Some(later.instant + Duration::from_secs(6)));
    assert_eq!(Message { expires: message.expires, ..restored }, message);
}

#[test]
fn no_message_lives_longer_than_its_whole_life_because_the_clock_went_back() {
    let within = |at_ms| StoredExpiry::At { at_ms, whole_ms: 10_000 };
    for (expiry, now_ms, expect) in [
        (within(1_010_000), 1_000_000, None),
        (within(1_010_000), 1_020_000, None),
        (within(1_010_000), 900_000, Some(within(910_000))),
        (within(1_010_000), 0, Some(within(10_000))),
        (StoredExpiry::Never, 0, None),
    ] {
        assert_eq!(expiry.clamped(now_ms), expect, "{expiry:?} at {now_ms}");
    }
    let now = ClockReading { instant: Instant::now(), ms: 900_000 };
    let message = Message::new("a", "x");
    let stored = StoredMessage { expiry: within(1_010_000), ..StoredMessage::of(&message, now) };
    assert_eq!(stored.restore(now).expires, Some(now.instant + Duration::from_secs(10)));
}
