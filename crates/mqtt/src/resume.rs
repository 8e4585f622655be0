//! Resumes a kept session on its client's new connection. The client is authenticated by then.

use super::{
    mailbox::Mailbox,
    presence::Presence,
    shared_redelivery::{redeliver, redeliver_waiting},
    subscriptions::SubscriptionTarget,
};
use switchbox_auth as auth;
use switchbox_auth::Action;
use switchbox_core::registry::Device;
use switchbox_delivery::{DownlinkKind, Online};
use switchbox_model::broker::BrokerChange;
use switchbox_mqtt_session::topics::{self, PendingChanges, Subscriber as _};
use switchbox_store::OnCommit;
use switchbox_support::{log_limit::SiteLimit, tasks::spawn_contained};

/// At most ten such lines are logged a minute; the last one says how many were left out.
static ENDED_SUBSCRIPTIONS: SiteLimit = SiteLimit::new(10);

/// Resumes the downlinks of a kept session. Deliveries wait in the mailbox until CONNACK is written.
pub(super) fn resume(presence: &Presence) {
    prune(presence);
    let Some(online) = &presence.online else { return };
    let sends_config = presence.dialect.rules().sends_config;
    let unacknowledged = presence.mailbox.lock().session.deliveries_in_flight();
    for (id, device_delivery) in unacknowledged {
        if device_delivery.device.is_some() {
            presence.mailbox.lock().session.suspend(id);
        } else if (device_delivery.downlink_kind() == DownlinkKind::Config && !sends_config)
            || !online.resumes(&device_delivery.outbound)
        {
            presence.mailbox.lock().session.forget(id);
        }
    }
    for kind in [DownlinkKind::Config, DownlinkKind::Commands, DownlinkKind::Methods] {
        let is_subscribed = presence.mailbox.lock().subscriptions.downlink_qos(kind).is_some();
        match (is_subscribed, kind) {
            (true, DownlinkKind::Config) if !sends_config => presence.follow_config(online),
            (true, kind) => online.resume(kind),
            (false, _) => {}
        }
    }
}

/// Resumes what the session holds for a device that its client, a gateway, has attached. The messages that were sent and not acknowledged
/// before the gateway disconnected come first, under their packet identifiers. Then the subscriptions are resumed.
pub(super) fn resume_attached(online: &Online, device: &Device, mailbox: &Mailbox) {
    let id = &device.name.id;
    let (in_flight, suspended) = {
        let session = &mailbox.lock().session;
        (session.deliveries_in_flight(), session.deliveries_suspended())
    };
    // A message that was sent on this same connection before the device was detached, and is not acknowledged yet, is not sent again.
    for (_, device_delivery) in in_flight {
        if device_delivery.device.as_ref().is_some_and(|target| target.num == device.num) {
            online.resumes(&device_delivery.outbound);
        }
    }
    for (packet_id, device_delivery) in suspended {
        let Some(target) = device_delivery.device.as_ref().filter(|target| target.name.id == *id) else { continue };
        let is_subscribed = mailbox.lock().attached_downlink_qos(id, device_delivery.downlink_kind()).is_some();
        // The device may have been deleted and created again under the same id.
        let may_continue = target.num == device.num && is_subscribed && online.resumes(&device_delivery.outbound);
        mailbox.lock().session.resume_suspended(packet_id, may_continue);
    }
    for kind in [DownlinkKind::Config, DownlinkKind::Commands, DownlinkKind::Methods] {
        let is_subscribed = mailbox.lock().attached_downlink_qos(id, kind).is_some();
        if is_subscribed {
            online.resume(kind);
        }
    }
}

/// Ends the kept subscriptions that the client is no longer authorised for, for example because open enrolment was switched off,
/// and drops the messages that are queued for them.
fn prune(presence: &Presence) {
    let mailbox = &presence.mailbox;
    let may_subscribe = |filter: &str| auth::may(&presence.auth_context.access, Action::Subscribe, filter).is_ok();
    let (denied, session_num) = {
        let mut state = mailbox.lock();
        let is_denied = |filter: &str, target: SubscriptionTarget| {
            target == SubscriptionTarget::Topic && !may_subscribe(topics::matched_part(filter))
        };
        (state.subscriptions.extract(is_denied), state.session_num.filter(|_| state.durable))
    };
    if denied.is_empty() {
        return;
    }
    let topics = &presence.shared.topics;
    for filter in &denied {
        presence.shared.metrics.refuse("kept subscription");
        if let Some(more) = ENDED_SUBSCRIPTIONS.allow() {
            tracing::warn!(client = %mailbox.name, %filter, "a kept subscription ends: the client is no longer authorised for it{more}");
        }
        topics.unsubscribe(filter, mailbox.id());
        if let Some(session) = session_num {
            topics
                .session_journal()
                .submit_unawaited(BrokerChange::Unsubscribed { session, filter: (**filter).into() });
        }
    }
    let (undelivered, mut finished) = {
        let session = &mut mailbox.lock().session;
        (session.revoke(|message| may_subscribe(&message.topic)), session.take_finished())
    };
    let mut pending = PendingChanges::default();
    let waiting = redeliver(topics, session_num, undelivered, &mut pending);
    // A message of a shared subscription stays in this session until another member of the group has it.
    finished.retain(|num| !waiting.iter().any(|(shared, _)| shared.num == Some(*num)));
    pending.extend(
        session_num
            .filter(|_| !finished.is_empty())
            .map(|session| BrokerChange::MessagesFinished { session, nums: finished }),
    );
    topics.write_with(None, pending, OnCommit::Nothing);
    if !waiting.is_empty() {
        let topics = topics.clone();
        let redelivery = async move { drop(redeliver_waiting(&topics, session_num, waiting).await) };
        spawn_contained(presence.shared.metrics.panics.clone(), "messages of a shared subscription", redelivery);
    }
}
