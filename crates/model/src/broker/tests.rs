//! Stored messages across restarts and older logs.

use super::{super::message::PayloadFormat, *};

#[test]
fn a_message_keeps_the_time_it_has_left_and_its_properties() {
    let now = Now { instant: Instant::now(), ms: 1_000_000 };
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
    assert_eq!(stored.expiry, StoredExpiry::Within { at_ms: 1_010_000, whole_ms: 10_000 });
    let later = Now { instant: now.instant + Duration::from_secs(5), ms: 1_004_000 };
    let restored = stored.restore(later);
    assert_eq!(restored.expires, Some(later.instant + Duration::from_secs(6)));
    assert_eq!(Message { expires: message.expires, ..restored }, message);
}

#[test]
fn no_message_lives_longer_than_its_whole_life_because_the_clock_went_back() {
    let within = |at_ms| StoredExpiry::Within { at_ms, whole_ms: 10_000 };
    for (expiry, now_ms, expect) in [
        (within(1_010_000), 1_000_000, None),
        (within(1_010_000), 1_020_000, None),
        (within(1_010_000), 900_000, Some(within(910_000))),
        (within(1_010_000), 0, Some(within(10_000))),
        (StoredExpiry::Never, 0, None),
        (StoredExpiry::At(1_010_000), 0, None),
    ] {
        assert_eq!(expiry.clamped(now_ms), expect, "{expiry:?} at {now_ms}");
    }
    let now = Now { instant: Instant::now(), ms: 900_000 };
    let message = Message::new("a", "x");
    let stored = StoredMessage { expiry: within(1_010_000), ..StoredMessage::of(&message, now) };
    assert_eq!(stored.restore(now).expires, Some(now.instant + Duration::from_secs(10)));
}

#[test]
fn the_expiry_of_an_older_log_is_read() {
    for (older, expiry) in [(None, StoredExpiry::Never), (Some(1_010_000), StoredExpiry::At(1_010_000))] {
        let bytes = postcard::to_stdvec::<Option<u64>>(&older).unwrap();
        assert_eq!(postcard::from_bytes::<StoredExpiry>(&bytes).unwrap(), expiry);
    }
}

/// The payload's format stands where it once said whether the payload is UTF-8.
#[test]
fn properties_of_an_older_log_are_read() {
    type Older = (bool, Option<Box<str>>, Option<Box<str>>, Option<Bytes>, Vec<(String, String)>);
    for (utf8, format) in [(false, PayloadFormat::Unstated), (true, PayloadFormat::Utf8)] {
        let user = vec![("a".to_owned(), "b".to_owned())];
        let older: Older = (utf8, Some("text".into()), None, None, user.clone());
        let read: MessageProperties = postcard::from_bytes(&postcard::to_stdvec(&older).unwrap()).unwrap();
        let content_type = Some("text".into());
        assert_eq!(read, MessageProperties { format, content_type, user, ..Default::default() });
    }
}
