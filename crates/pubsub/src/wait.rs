//! Publishers wait for subscribers whose queues are full, within their budgets.

use std::sync::Arc;

use switchbox_model::{Message, limits::names};
use switchbox_mqtt_session::topics::{PendingChanges, SubscriberDelivery, WaitBudget};
use switchbox_support::clock;

use crate::{Topics, now::now};

impl Topics {
    /// Waits for subscribers whose queues are full, for all of them together until the publisher's budget is used up or `hurry` completes.
    /// The caller submits its pending changes before, because the full subscribers may wait for these.
    pub async fn wait(
        &self,
        message: &Arc<Message>,
        waiting: Vec<SubscriberDelivery>,
        pending: &mut PendingChanges,
        budget: &mut WaitBudget,
        hurry: impl Future<Output = ()>,
    ) {
        let began = clock::instant();
        let allowed = budget.remaining(began);
        let over = tokio::time::timeout(allowed, hurry);
        tokio::pin!(over);
        let (mut is_over, mut is_lost) = (allowed.is_zero(), false);
        for mut offer in waiting {
            loop {
                let subscriber = offer.subscriber().clone();
                let room = subscriber.wait_for_room();
                match self.offer_again(message, offer, pending, now()) {
                    None => break,
                    Some(full) => offer = full,
                }
                let from = clock::instant();
                let has_room = !is_over
                    && tokio::select! {
                        biased;
                        () = room => true,
                        _ = over.as_mut() => {
                            is_over = true;
                            false
                        }
                        () = tokio::time::sleep(subscriber.wait_allowance()) => false,
                    };
                subscriber.record_wait(from, clock::instant());
                if !has_room {
                    is_lost = true;
                    self.count_dropped();
                    break;
                }
            }
        }
        budget.record_wait(clock::instant().saturating_duration_since(began), is_lost);
        if is_lost && is_over {
            self.metrics.limit(names::PUBLISHER_WAIT);
        }
    }
}
