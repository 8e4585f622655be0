//! Restores the sessions of an earlier process from the stored documents, before the first client is admitted. Does not read the store.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    clients::DueWill,
    mailbox::{Mailbox, State, journaled_item},
    service::Service,
    session_key,
    subscriptions::{AttachedSubscription, SubscriptionTarget, Subscriptions},
    will,
};
use crate::dialect::iot_core;
use switchbox_auth::AuthContext;
use switchbox_core::registry::Device;
use switchbox_delivery::DownlinkKind;
use switchbox_model::{
    DeviceId, DeviceNum,
    broker::{BrokerChange, ClockReading, MessageNum, SessionKey, StoredSubscription, SubscriptionKind},
};
use switchbox_mqtt_codec::packet::Will;
use switchbox_mqtt_session::{
    session::{DeliveryStage, Session, StoredItem},
    topics::{Options, Subscriber},
};
use switchbox_store::{BrokerDocs, QueuedDoc, SessionDoc};
use switchbox_support::clock;

/// A restored session whose expiry timer is not started yet.
struct Restored {
    key: SessionKey,
    mailbox: Arc<Mailbox>,
    will: Option<(Duration, DueWill)>,
    remaining_expiry: Duration,
}

impl Service {
    /// Restores retained messages, sessions with their queues, and wills. `device` gives `None` for a device that does not exist any more.
    pub fn restore(&self, docs: BrokerDocs, device: impl Fn(DeviceNum) -> Option<Arc<Device>>) {
        let now = ClockReading { instant: std::time::Instant::now(), ms: clock::now_ms() };
        self.shared.topics.restore_retained(docs.retained, now);
        let restored: Vec<_> = docs.sessions.into_iter().map(|doc| self.restore_session(doc, &device, now)).collect();
        if !restored.is_empty() {
            tracing::info!(count = restored.len(), "sessions of offline clients were restored");
        }
        // All sessions exist before the first will is published, so that each gets it.
        for Restored { key, mailbox, will, remaining_expiry } in restored {
            self.shared.clients.restore(&key, mailbox, will, remaining_expiry);
        }
    }

    fn restore_session(
        &self,
        mut doc: SessionDoc,
        device: &impl Fn(DeviceNum) -> Option<Arc<Device>>,
        now: ClockReading,
    ) -> Restored {
        let owner = match &doc.key {
            SessionKey::Client(id) => Some((id.clone(), None)),
            SessionKey::Device(num) => device(*num).map(|device| (device.name.id.as_str().into(), Some(device))),
        };
        let own_id = owner.as_ref().and_then(|(_, device)| device.as_ref().map(|device| device.name.id.clone()));
        let (name, device) = owner.unwrap_or_else(|| ("a device that was deleted".into(), None));
        let can_return = session_key::can_return(&self.shared.host, &doc.key);
        let away_for = Duration::from_millis(doc.left_ms.map_or(0, |left_ms| now.ms.saturating_sub(left_ms)));
        let expiry = Duration::from_secs(doc.expiry_secs.into());
        let remaining_expiry = if can_return { expiry.saturating_sub(away_for) } else { Duration::ZERO };
        let auth_context =
            self.shared.host.auth.auth_context_of(session_key::principal(&self.shared.host, &doc.key, device));
        let owner = session_key::of_retained(&auth_context);
        let will = doc.will.take().filter(|_| can_return).map(|stored| Box::new(will::restored(*stored)));
        let will = will.and_then(|will| self.restore_will(will, auth_context, &name, away_for));
        let state = self.restore_state(&mut doc, own_id.as_ref(), will.is_some(), now);
        let metrics = self.shared.metrics.clone();
        let owner_quota = self.shared.clients.offline_sessions.owner_quota(owner);
        let session_journal = self.shared.topics.session_journal().clone();
        let mailbox = Mailbox::restore(name, metrics, owner_quota, session_journal, state);
        let subscriber: Arc<dyn Subscriber> = mailbox.clone();
        for (filter, stored) in doc.subscriptions.iter().filter(|(_, stored)| stored.kind == SubscriptionKind::Topic) {
            let StoredSubscription { qos, no_local, retain_as_published, id, .. } = *stored;
            self.shared.topics.subscribe(filter, &subscriber, Options { qos, no_local, retain_as_published, id });
        }
        Restored { key: doc.key, mailbox, will, remaining_expiry }
    }

    /// Restores the session's queue and subscriptions. If its client was connected when the host stopped, it is not known whether the last
    /// messages that were sent have reached the client.
    fn restore_state(
        &self,
        doc: &mut SessionDoc,
        own_id: Option<&DeviceId>,
        has_will: bool,
        now: ClockReading,
    ) -> State {
        let in_doubt_from = doc.in_doubt_from.unwrap_or(MessageNum(doc.sent.0 + 1));
        let stage = |queued: &QueuedDoc| match queued {
            QueuedDoc { held: true, .. } => DeliveryStage::PubRecReceived,
            queued if queued.num < in_doubt_from => DeliveryStage::Sent,
            queued if doc.left_ms.is_none() || queued.num <= doc.sent => DeliveryStage::InDoubt,
            _ => DeliveryStage::Queued,
        };
        if doc.left_ms.is_none() {
            let sent = doc.queue.last().map_or(doc.sent, |queued| queued.num);
            let (session, expiry_secs, will) = (doc.num, doc.expiry_secs, has_will);
            let in_doubt_from = Some(in_doubt_from);
            let disconnected =
                BrokerChange::Disconnected { session, time_ms: now.ms, expiry_secs, sent, in_doubt_from, will };
            self.shared.topics.session_journal().submit_unawaited(disconnected);
        }
        let items = std::mem::take(&mut doc.queue).into_iter().map(|queued| StoredItem {
            stage: stage(&queued),
            item: journaled_item(queued.num, Arc::new((*queued.message).clone().restore(now)), queued.recipient),
        });
        let (subscriptions, attached_subscriptions) = subscriptions(&doc.subscriptions, own_id);
        let mut session = Session::restore(items.collect(), std::mem::take(&mut doc.received), now.instant);
        let finished = session.take_finished();
        if !finished.is_empty() {
            self.shared
                .topics
                .session_journal()
                .submit_unawaited(BrokerChange::MessagesFinished { session: doc.num, nums: finished });
        }
        State {
            session,
            subscriptions,
            attached_subscriptions,
            session_num: Some(doc.num),
            durable: doc.expiry_secs > 0,
            ..State::default()
        }
    }

    /// The settings may have changed since the will was stored, so its topic is checked again. Whether its client is blocked is checked
    /// when the will is due.
    fn restore_will(
        &self,
        will: Box<Will>,
        auth_context: AuthContext,
        name: &Arc<str>,
        away_for: Duration,
    ) -> Option<(Duration, DueWill)> {
        let device = auth_context.principal.device().map(|device| &**device);
        let (metrics, payloads) = (&self.shared.metrics, &self.shared.options.payloads);
        if let Err(fault) = will::check(metrics, device, &auth_context.access, payloads, &will) {
            tracing::info!(client = %name, topic = %will.topic, "the will is not published: {}", fault.text);
            return None;
        }
        let delay = will.delay.saturating_sub(away_for);
        Some((delay, will::due(self.shared.clone(), auth_context, name.clone(), will)))
    }
}

type AttachedSubscriptions = HashMap<DeviceId, Vec<AttachedSubscription>>;

/// Separates the client's own subscriptions from those of a gateway to the topics of its devices. `own_id`: the client's device, if it has
/// one.
fn subscriptions(
    stored: &[(Arc<str>, StoredSubscription)],
    own_id: Option<&DeviceId>,
) -> (Subscriptions, AttachedSubscriptions) {
    let (mut subscriptions, mut attached) = (Subscriptions::default(), AttachedSubscriptions::default());
    for (filter, subscription) in stored {
        let target = subscription_target(subscription);
        match (target, iot_core::addressee(filter)) {
            (SubscriptionTarget::Downlink(kind, qos), Some(Ok(device)))
                if own_id.is_some_and(|own_id| *own_id != device) =>
            {
                let of_device: &mut Vec<_> = attached.entry(device).or_default();
                of_device.push(AttachedSubscription { filter: (**filter).into(), kind, qos, id: subscription.id });
            }
            _ => {
                subscriptions.insert((**filter).into(), target, subscription.id);
            }
        }
    }
    (subscriptions, attached)
}

fn subscription_target(subscription: &StoredSubscription) -> SubscriptionTarget {
    let qos = subscription.qos;
    match subscription.kind {
        SubscriptionKind::Topic => SubscriptionTarget::Topic,
        SubscriptionKind::Config => SubscriptionTarget::Downlink(DownlinkKind::Config, qos),
        SubscriptionKind::Commands => SubscriptionTarget::Downlink(DownlinkKind::Commands, qos),
        SubscriptionKind::Methods => SubscriptionTarget::Downlink(DownlinkKind::Methods, qos),
        SubscriptionKind::Errors => SubscriptionTarget::Errors,
        SubscriptionKind::Replies => SubscriptionTarget::Replies,
    }
}
