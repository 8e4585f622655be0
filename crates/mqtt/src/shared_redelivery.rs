//! Gives what came to a session by shared subscriptions, and its client will not take, to other members. That the session does
//! not have it any more is in one entry of the journal with that another one has.

use switchbox_model::broker::{BrokerChange, SessionNum};
use switchbox_mqtt_session::{
    session::SharedMessage,
    topics::{Handle, PendingChanges, SubscriberDelivery, WaitBudget},
};

use switchbox_store::OnCommit;

/// Adds to `pending` what found a member. Gives what is worth waiting for.
pub(super) fn redeliver(
    topics: &Handle,
    session: Option<SessionNum>,
    undelivered: Vec<SharedMessage>,
    pending: &mut PendingChanges,
) -> Vec<(SharedMessage, SubscriberDelivery)> {
    let mut waiting = Vec::new();
    for shared in undelivered {
        match topics.deliver_shared(&shared.filter, &shared.message, pending) {
            Some(offer) => waiting.push((shared, offer)),
            None => pending.extend(gone(session, &shared)),
        }
    }
    waiting
}

/// Waits for members whose queues are full, a bounded time for all. Gives what must be durable then.
pub(super) async fn redeliver_waiting(
    topics: &Handle,
    session: Option<SessionNum>,
    waiting: Vec<(SharedMessage, SubscriberDelivery)>,
) -> PendingChanges {
    let (mut pending, mut budget) = (PendingChanges::default(), WaitBudget::default());
    for (shared, offer) in waiting {
        topics.wait(&shared.message, vec![offer], &mut pending, &mut budget, std::future::pending()).await;
        pending.extend(gone(session, &shared));
        // Members may wait for it.
        topics.write_with(None, std::mem::take(&mut pending), OnCommit::Nothing);
    }
    pending
}

fn gone(session: Option<SessionNum>, shared: &SharedMessage) -> Option<BrokerChange> {
    Some(BrokerChange::MessagesFinished { session: session?, nums: vec![shared.num?] })
}
