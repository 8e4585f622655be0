//! Processes SUBSCRIBE and UNSUBSCRIBE, and answers each filter. Does not read or write the socket.

use std::sync::Arc;

use crate::{
    connection::{Connection, RetainedCursor, revalidate::split_end},
    dialect::{self, iot_core::MAX_DOWNLINK_QOS},
    end::ConnectionEnd,
    mailbox::Close,
    subscriptions::SubscriptionTarget,
};
use switchbox_auth as auth;
use switchbox_delivery::DownlinkKind;
use switchbox_model::{
    DeviceId, QoS,
    broker::{BrokerChange, StoredSubscription, SubscriptionKind},
};
use switchbox_mqtt_codec::{
    fault::reason,
    packet::{Filter, Subscribe},
};
use switchbox_mqtt_session::topics::{self, PendingChanges, Subscriber};
use switchbox_store::{self as store, OnCommit, Reply};
use switchbox_support::threads;

impl Connection {
    /// Adds SUBACK to `unsent`, which is written before any message of the subscriptions. If the session outlives its connection, SUBACK
    /// is added when the subscriptions are durable.
    pub(crate) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), ConnectionEnd> {
        // A client that cannot receive so long a SUBACK gets no subscription.
        self.peer.check_answer(subscribe.filters.len())?;
        let mut pending = PendingChanges::default();
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut first_refusal = None;
        let mut downlinks = Vec::new();
        for filter in &subscribe.filters {
            threads::yield_if_due();
            let granted = match self.attached_device_of(&filter.filter) {
                None => {
                    let granted = self.subscribe_own(filter, subscribe.subscription, &mut downlinks, &mut pending);
                    granted.inspect_err(|(_, text)| self.fail_own_subscription(text, &filter.filter, subscribe.id))
                }
                Some(device) => {
                    let granted =
                        self.subscribe_for(device, (filter, subscribe.subscription), &mut downlinks, &mut pending);
                    granted.map_err(|(code, failure)| {
                        self.fail_subscription(&failure, &filter.filter, subscribe.id);
                        (code, failure.text)
                    })
                }
            };
            let code = match granted {
                Ok(qos) => qos as u8,
                Err((code, text)) => {
                    self.log_refusal("subscribe", &filter.filter, &text);
                    first_refusal.get_or_insert(text);
                    code
                }
            };
            codes.push(code);
        }
        self.write_durably(pending).await?;
        self.presence.shared.metrics.packets_out.inc();
        self.peer.suback(subscribe.id, &codes, first_refusal.as_deref(), &mut self.unsent);
        for (device, kind) in downlinks {
            let online = match device {
                None => self.presence.online.as_ref(),
                Some(id) => self.presence.gateway.as_ref().and_then(|gateway| Some(&gateway.get(&id)?.online)),
            };
            online.into_iter().for_each(|online| self.presence.subscribe_downlink(online, kind));
        }
        Ok(())
    }

    /// Journals the pending changes and waits until they are durable.
    pub(crate) async fn write_durably(&self, pending: PendingChanges) -> Result<(), ConnectionEnd> {
        if pending.is_empty() {
            return Ok(());
        }
        let (done, result) = tokio::sync::oneshot::channel();
        let done = OnCommit::Call(Box::new(move |reply: Result<Reply, store::Error>| {
            let _ = done.send(reply.map(drop));
        }));
        let shared = &self.presence.shared;
        let (permit, may_continue) = split_end(self.or_revoked(shared.topics.reserve_for(&pending)).await);
        shared.topics.write_with(permit.flatten(), pending, done);
        may_continue?;
        let failed = |error: store::Error| ConnectionEnd::Closed(Close::Administrative(error.to_string()));
        let result = self.or_revoked(result).await?;
        result.unwrap_or(Err(store::Error::Closed)).map_err(failed)
    }

    /// Subscribes the client to one filter that is not an attached device's. Returns the granted QoS, or the reason code and its text.
    fn subscribe_own(
        &mut self,
        filter: &Filter,
        id: Option<u32>,
        downlinks: &mut Vec<(Option<DeviceId>, DownlinkKind)>,
        pending: &mut PendingChanges,
    ) -> Result<QoS, (u8, String)> {
        topics::check_filter(&filter.filter).map_err(|error| (reason::FILTER_INVALID, error.to_string()))?;
        self.check_room(&filter.filter)?;
        let device = self.presence.device.as_ref().map(|device| &device.name.id);
        let (target, granted) = match self.presence.dialect.subscribe(device, topics::matched_part(&filter.filter)) {
            dialect::Subscribe::Downlink(_) | dialect::Subscribe::Errors | dialect::Subscribe::Replies
                if topics::is_shared(&filter.filter) =>
            {
                return Err((reason::NO_SHARED, "what comes for a device alone cannot be shared".into()));
            }
            dialect::Subscribe::Refused(refused) => return Err((reason::NOT_AUTHORISED, refused.to_string())),
            dialect::Subscribe::Errors => (SubscriptionTarget::Errors, QoS::AtMostOnce),
            dialect::Subscribe::Replies => (SubscriptionTarget::Replies, QoS::AtMostOnce),
            dialect::Subscribe::Downlink(kind) => {
                downlinks.push((None, kind));
                let granted = filter.qos.min(MAX_DOWNLINK_QOS);
                (SubscriptionTarget::Downlink(kind, granted), granted)
            }
            dialect::Subscribe::Ordinary => {
                auth::may(
                    &self.presence.auth_context.access,
                    auth::Action::Subscribe,
                    topics::matched_part(&filter.filter),
                )
                .map_err(|denied| (reason::NOT_AUTHORISED, denied.to_string()))?;
                (SubscriptionTarget::Topic, filter.qos)
            }
        };
        self.presence.mailbox.insert_subscription(filter.filter.clone(), target, id);
        if let Some(session) = self.durable_session() {
            let subscription = stored(filter, id, target);
            pending.push(BrokerChange::Subscribed { session, filter: (*filter.filter).into(), subscription });
        }
        if target == SubscriptionTarget::Topic {
            self.subscribe_topic(filter, id, pending);
        }
        Ok(granted)
    }

    fn check_room(&self, filter: &str) -> Result<(), (u8, String)> {
        self.presence
            .mailbox
            .lock()
            .subscriptions
            .check_room(filter, self.presence.dialect.rules().subscriptions)
            .map_err(|(limit, text)| {
                self.presence.shared.metrics.limit(limit);
                (reason::QUOTA, text)
            })
    }

    fn subscribe_topic(&mut self, filter: &Filter, id: Option<u32>, pending: &mut PendingChanges) {
        let Filter { qos, no_local, retain_as_published, retain_handling, .. } = *filter;
        let options = topics::Options { qos, no_local, retain_as_published, id };
        let subscriber: Arc<dyn Subscriber> = self.presence.mailbox.clone();
        let had_subscription = self.presence.shared.topics.subscribe(&filter.filter, &subscriber, options);
        if retain_handling == 2 || (retain_handling == 1 && had_subscription) || topics::is_shared(&filter.filter) {
            return;
        }
        self.begin_retained(RetainedCursor { filter: filter.filter.clone(), qos, id, after: None }, pending);
    }

    pub(crate) async fn unsubscribe(&mut self, id: u16, filters: &[Box<str>]) -> Result<(), ConnectionEnd> {
        /// MQTT 5: no subscription existed.
        const NONE: u8 = 0x11;
        self.peer.check_answer(filters.len())?;
        let codes: Vec<u8> = filters.iter().map(|filter| if self.unsubscribe_one(filter) { 0 } else { NONE }).collect();
        if let Some(session) = self.durable_session() {
            let mut pending = PendingChanges::default();
            for filter in filters {
                pending.push(BrokerChange::Unsubscribed { session, filter: (**filter).into() });
            }
            self.write_durably(pending).await?;
        }
        self.presence.shared.metrics.packets_out.inc();
        self.peer.unsuback(id, &codes, &mut self.unsent);
        Ok(())
    }

    fn unsubscribe_one(&mut self, filter: &str) -> bool {
        self.forget_retained(filter);
        let mailbox = &self.presence.mailbox;
        let removed = mailbox.remove_subscription(filter);
        match removed {
            Some(SubscriptionTarget::Topic) => {
                self.presence.shared.topics.unsubscribe(filter, mailbox.id());
            }
            Some(SubscriptionTarget::Downlink(kind, _)) => {
                let has_another = mailbox.lock().subscriptions.downlink_qos(kind).is_some();
                if let Some(online) = self.presence.online.as_ref().filter(|_| !has_another) {
                    online.unsubscribe(kind);
                }
            }
            Some(SubscriptionTarget::Errors | SubscriptionTarget::Replies) => {}
            None => return self.unsubscribe_for(filter),
        }
        true
    }
}

/// The form in which the journal has the subscription.
pub(crate) fn stored(filter: &Filter, id: Option<u32>, target: SubscriptionTarget) -> StoredSubscription {
    let (kind, qos) = match target {
        SubscriptionTarget::Topic => (SubscriptionKind::Topic, filter.qos),
        SubscriptionTarget::Errors => (SubscriptionKind::Errors, QoS::AtMostOnce),
        SubscriptionTarget::Replies => (SubscriptionKind::Replies, QoS::AtMostOnce),
        SubscriptionTarget::Downlink(DownlinkKind::Config, qos) => (SubscriptionKind::Config, qos),
        SubscriptionTarget::Downlink(DownlinkKind::Commands, qos) => (SubscriptionKind::Commands, qos),
        SubscriptionTarget::Downlink(DownlinkKind::Methods, qos) => (SubscriptionKind::Methods, qos),
    };
    let Filter { no_local, retain_as_published, .. } = *filter;
    StoredSubscription { kind, qos, no_local, retain_as_published, id }
}
