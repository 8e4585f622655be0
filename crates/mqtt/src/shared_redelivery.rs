//! Moves messages of shared subscriptions from a session whose client does not take them to other members of the group. One journal entry
//! removes a message from the one session and adds it to the other.

use switchbox_model::broker::{BrokerChange, SessionNum};
use switchbox_mqtt_session::{
    session::SharedMessage,
    topics::{PendingChanges, SubscriberDelivery, WaitBudget},
};
use switchbox_pubsub::{Topics, now};
use switchbox_store::OnCommit;

/// Adds to `pending` the messages that a member has room for. Returns those whose members have full queues.
pub(super) fn redeliver(
    topics: &Topics,
    session: Option<SessionNum>,
    undelivered: Vec<SharedMessage>,
    pending: &mut PendingChanges,
) -> Vec<(SharedMessage, SubscriberDelivery)> {
    let mut waiting = Vec::new();
    for shared in undelivered {
        match topics.deliver_shared(&shared.filter, &shared.message, pending, now()) {
            Some(offer) => waiting.push((shared, offer)),
            None => pending.extend(gone(session, &shared)),
        }
    }
    waiting
}

/// Waits for members whose queues are full, with one deadline for all messages. Returns what must be durable then.
pub(super) async fn redeliver_waiting(
    topics: &Topics,
    session: Option<SessionNum>,
    waiting: Vec<(SharedMessage, SubscriberDelivery)>,
) -> PendingChanges {
    let (mut pending, mut budget) = (PendingChanges::default(), WaitBudget::default());
    for (shared, offer) in waiting {
        topics.wait(&shared.message, vec![offer], &mut pending, &mut budget, std::future::pending()).await;
        pending.extend(gone(session, &shared));
        // The removal may free room that members wait for.
        topics.write_with(None, std::mem::take(&mut pending), OnCommit::Nothing);
    }
    pending
}

fn gone(session: Option<SessionNum>, shared: &SharedMessage) -> Option<BrokerChange> {
    Some(BrokerChange::MessagesFinished { session: session?, nums: vec![shared.num?] })
}
