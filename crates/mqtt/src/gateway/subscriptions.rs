//! A gateway's subscriptions to the topics of its devices. They belong to the gateway's session, and are suspended while a device is not
//! attached. Does not read or write the socket.

use crate::{
    connection::{Connection, subscribe::stored},
    dialect::{
        Subscribe, TopicRefusal,
        gateway_errors::ErrorType,
        iot_core::{self, MAX_DOWNLINK_QOS},
    },
    gateway::{Failure, publish::not_attached},
    mailbox::State,
    subscriptions::{AttachedSubscription, SubscriptionTarget},
};
use switchbox_delivery::DownlinkKind;
use switchbox_model::{DeviceId, QoS, broker::BrokerChange, limits};
use switchbox_mqtt_codec::{fault::reason, packet::Filter};
use switchbox_mqtt_session::topics::{self, PendingChanges};

/// The reason code of the SUBACK, and the failure to report.
pub(crate) type Denied = (u8, Failure);

impl Connection {
    /// The device of the filter, if the client is a gateway and the filter is not the gateway's own. The error is the text in place of a
    /// device id.
    pub(crate) fn attached_device_of(&mut self, filter: &str) -> Option<Result<DeviceId, String>> {
        let id = iot_core::addressee(topics::matched_part(filter))?;
        let own = self.presence.device.as_ref()?.name.id.clone();
        (id != Ok(own) && self.is_gateway()).then(|| id.map_err(str::to_owned))
    }

    /// Subscribes the gateway to one filter of an attached device, with its Subscription Identifier. Returns the granted QoS.
    pub(crate) fn subscribe_for(
        &self,
        id: Result<DeviceId, String>,
        (filter, subscription_id): (&Filter, Option<u32>),
        downlinks: &mut Vec<(Option<DeviceId>, DownlinkKind)>,
        pending: &mut PendingChanges,
    ) -> Result<QoS, Denied> {
        let invalid =
            |id: &str, text: String| (reason::NOT_AUTHORISED, Failure::new(ErrorType::InvalidTopic, id, text));
        let id =
            id.map_err(|id| invalid(&id, format!("{id:?} is not a device id; a gateway subscribes for each device")))?;
        if topics::is_shared(&filter.filter) {
            let text = "what comes for a device alone cannot be shared";
            return Err((reason::NO_SHARED, Failure::new(ErrorType::InvalidTopic, id.as_str(), text)));
        }
        if self.presence.gateway.as_ref().and_then(|gateway| gateway.get(&id)).is_none() {
            return Err((reason::NOT_AUTHORISED, not_attached(&id)));
        }
        let Subscribe::Downlink(kind) = iot_core::subscribe(Some(&id), &filter.filter) else {
            return Err(invalid(id.as_str(), TopicRefusal::Unknown.to_string()));
        };
        let qos = filter.qos.min(MAX_DOWNLINK_QOS);
        let subscription = AttachedSubscription { filter: filter.filter.clone(), kind, qos, id: subscription_id };
        self.add_attached(&id, subscription)?;
        if let Some(session) = self.durable_session() {
            let subscription = stored(filter, subscription_id, SubscriptionTarget::Downlink(kind, qos));
            pending.push(BrokerChange::Subscribed { session, filter: (*filter.filter).into(), subscription });
        }
        downlinks.push((Some(id), kind));
        Ok(qos)
    }

    /// Adds the subscription to the gateway's session, or replaces the one with the same filter.
    fn add_attached(&self, id: &DeviceId, subscription: AttachedSubscription) -> Result<(), Denied> {
        let mut state = self.presence.mailbox.lock();
        if state.attached_subscriptions.len() >= limits::ATTACHED_DEVICES
            && !state.attached_subscriptions.contains_key(id)
        {
            self.presence.shared.metrics.limit(limits::names::ATTACHED_DEVICES);
            let max = limits::ATTACHED_DEVICES;
            let text = format!("a gateway may have subscriptions for at most {max} devices; unsubscribe others first");
            return Err((reason::QUOTA, Failure::new(ErrorType::Unknown, id.as_str(), text)));
        }
        let of_device = state.attached_subscriptions.entry(id.clone()).or_default();
        of_device.retain(|existing| existing.filter != subscription.filter);
        of_device.push(subscription);
        self.update_attached_unconfirmed(id, &state);
        Ok(())
    }

    fn update_attached_unconfirmed(&self, id: &DeviceId, state: &State) {
        if let Some(attached) = self.presence.gateway.as_ref().and_then(|gateway| gateway.get(id)) {
            attached.link.update_commands_unconfirmed(state);
        }
    }

    /// Removes a subscription to an attached device's topic. Returns false if there was none.
    pub(crate) fn unsubscribe_for(&self, filter: &str) -> bool {
        let Some(Ok(id)) = iot_core::addressee(filter) else { return false };
        let (kind, has_another) = {
            let mut state = self.presence.mailbox.lock();
            let Some(of_device) = state.attached_subscriptions.get_mut(&id) else { return false };
            let Some(index) = of_device.iter().position(|subscription| *subscription.filter == *filter) else {
                return false;
            };
            let kind = of_device.remove(index).kind;
            if of_device.is_empty() {
                state.attached_subscriptions.remove(&id);
            }
            self.update_attached_unconfirmed(&id, &state);
            (kind, state.attached_downlink_qos(&id, kind).is_some())
        };
        let attached = self.presence.gateway.as_ref().and_then(|gateway| gateway.get(&id));
        if let Some(attached) = attached.filter(|_| !has_another) {
            attached.online.unsubscribe(kind);
        }
        true
    }
}
