//! Stored data of one principal is bounded separately, and the client is informed.

use std::sync::Arc;

use super::{
    super::clients::{Clients, Key, SessionCleanup, SessionRequest},
    limit_hits, publish_alone,
    raw::{ack, publish},
    *,
};
use switchbox_model::{Message, broker::Owner, limits};

#[tokio::test]
async fn a_publisher_of_mqtt_5_reads_that_its_retained_message_is_not_kept() {
    let server = TestServer::start().await;
    for n in 0..limits::RETAINED {
        let message = Message { retain: true, ..Message::new(&format!("full/{n}"), "x") };
        publish_alone(&server.topics, message.into()).await;
    }
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "more/#", 0).await;
    let mut client = server.v5("_client-5").await;
    for (first, answer) in [(0x33, 0x40), (0x35, 0x50)] {
        client.send(&publish(first, "more/5", 7, Some(&[]), "x")).await;
        let got = client.packet().await;
        assert_eq!((got[0], &got[2..5]), (answer, &[0, 7, 0x97][..]), "{got:?}");
    }
    client.expect_silence().await;
    watcher.expect_silence().await;
    // A topic that has one already gets the newer one, and a message that is not retained needs no place.
    client.send(&publish(0x33, "full/7", 8, Some(&[]), "y")).await;
    client.expect(&ack(0x40, 8)).await;
    client.send(&publish(0x32, "more/5", 9, Some(&[]), "passes")).await;
    client.expect(&ack(0x40, 9)).await;
    watcher.expect(&publish(0x30, "more/5", 0, None, "passes")).await;
    // 3.1.1 has no reason code for it: the message is delivered to current subscribers.
    let mut client = server.v4("_client-4").await;
    client.send(&publish(0x33, "more/4", 9, None, "x")).await;
    client.expect(&ack(0x40, 9)).await;
    watcher.expect(&publish(0x30, "more/4", 0, None, "x")).await;
    assert!(server.topics.retained("more/#", None, switchbox_pubsub::now()).messages.is_empty());
    assert_eq!(server.limit_hits("retained_messages_of_one"), 3);
    // The exchange of QoS 2 is over.
    let mut again = server.v5("_client-5").await;
    again.send(&publish(0x34, "more/5", 7, Some(&[]), "x")).await;
    again.expect(&ack(0x50, 7)).await;
}

#[tokio::test]
async fn an_account_with_too_many_kept_sessions_is_refused_more_and_others_keep_theirs() {
    let metrics = Metrics::default();
    let topics = switchbox_pubsub::Topics::new(metrics.clone(), switchbox_pubsub::SessionJournal::default());
    let clients = Arc::new(Clients::new(topics, metrics.clone(), 20_000));
    let request = |account: &str, id: &str| SessionRequest {
        name: id.into(),
        owner: Owner::Service(account.into()),
        clean: false,
        expiry_secs: 100,
        will: None,
    };
    let mut last = None;
    for n in 0..=limits::SESSIONS_KEPT_OF_ONE {
        let id = format!("greedy-{n}");
        let key = Key::Client(id.as_str().into());
        let claim = clients.claim(&key, &request("greedy", &id)).await.unwrap();
        // Connected or away.
        if n % 2 == 0 && n < limits::SESSIONS_KEPT_OF_ONE {
            let expiry = std::time::Duration::from_secs(claim.expiry_secs.into());
            clients.connection_ended(
                &key,
                &claim.mailbox,
                SessionCleanup { expiry, will: None, keep_will_for_restart: false },
            );
        }
        last = Some((key, claim));
    }
    let (key, last) = last.unwrap();
    assert_eq!((last.expiry_secs, limit_hits(&metrics, "sessions_kept_of_one")), (0, 1));
    let modest = clients.claim(&Key::Client("modest".into()), &request("modest", "modest")).await.unwrap();
    assert_eq!(modest.expiry_secs, 100);
    // One that ends makes room for the next.
    clients.connection_ended(
        &key,
        &last.mailbox,
        SessionCleanup { expiry: Default::default(), will: None, keep_will_for_restart: false },
    );
    let first = Key::Client("greedy-0".into());
    let clean = SessionRequest { clean: true, expiry_secs: 0, ..request("greedy", "greedy-0") };
    assert_eq!(clients.claim(&first, &clean).await.unwrap().expiry_secs, 0);
    assert_eq!(clients.claim(&key, &request("greedy", "again")).await.unwrap().expiry_secs, 100);
}
