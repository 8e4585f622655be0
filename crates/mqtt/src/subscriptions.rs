//! The filters of one client's own subscriptions, limited in number and bytes, with an estimate of their memory. Messages are routed
//! elsewhere.

use std::collections::HashMap;

use switchbox_delivery::DownlinkKind;
use switchbox_model::{
    QoS,
    limits::{self, LimitName},
};
use switchbox_mqtt_session::topics;

/// The target of a client's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubscriptionTarget {
    Topic,
    Downlink(DownlinkKind, QoS),
    Errors,
    /// Answers to requests about the device's config and state.
    Replies,
}

/// A subscription of a gateway to a downlink of one of its devices.
#[derive(Debug)]
pub(super) struct AttachedSubscription {
    pub(super) filter: Box<str>,
    pub(super) kind: DownlinkKind,
    pub(super) qos: QoS,
    /// Its Subscription Identifier.
    pub(super) id: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// With the target and the Subscription Identifier of each.
    filters: HashMap<Box<str>, (SubscriptionTarget, Option<u32>)>,
    /// Bytes that count towards the client's limit.
    bytes: usize,
    memory_bytes: usize,
}

/// The bytes that a filter counts towards the limit.
fn counted(filter: &str) -> usize {
    filter.len() + filter.split('/').count() * limits::FILTER_LEVEL_BYTES
}

impl Subscriptions {
    /// Checks that there is room for the filter. The error is the limit's name and value.
    pub(super) fn check_room(&self, filter: &str, max: usize) -> Result<(), (LimitName, String)> {
        if self.filters.contains_key(filter) {
            return Ok(());
        }
        if self.filters.len() >= max {
            return Err((limits::names::SUBSCRIPTIONS, format!("a client may have at most {max} subscriptions")));
        }
        if self.bytes + counted(filter) > limits::SUBSCRIPTION_BYTES {
            let (max, level) = (limits::SUBSCRIPTION_BYTES, limits::FILTER_LEVEL_BYTES);
            let text = format!("a client's filters may have at most {max} bytes together, {level} more for each level");
            return Err((limits::names::SUBSCRIPTION_BYTES, text));
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, filter: Box<str>, target: SubscriptionTarget, id: Option<u32>) {
        let (bytes, memory_bytes) = (counted(&filter), topics::memory_bytes(&filter));
        if self.filters.insert(filter, (target, id)).is_none() {
            self.bytes += bytes;
            self.memory_bytes += memory_bytes;
        }
    }

    pub(super) fn remove(&mut self, filter: &str) -> Option<SubscriptionTarget> {
        let (target, _) = self.filters.remove(filter)?;
        self.bytes -= counted(filter);
        self.memory_bytes -= topics::memory_bytes(filter);
        Some(target)
    }

    /// Removes and returns the subscriptions for which `matches` holds.
    pub(super) fn extract(&mut self, matches: impl Fn(&str, SubscriptionTarget) -> bool) -> Vec<Box<str>> {
        let found: Vec<_> = self
            .filters
            .iter()
            .filter(|(filter, (target, _))| matches(filter, *target))
            .map(|(filter, _)| filter.clone())
            .collect();
        for filter in &found {
            self.remove(filter);
        }
        found
    }

    /// The filters that are neither a downlink nor a reply topic.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        let topics = self.filters.iter().filter(|(_, (target, _))| *target == SubscriptionTarget::Topic);
        topics.map(|(filter, _)| &**filter)
    }

    /// The QoS of the client's subscription to the downlink.
    pub(super) fn downlink_qos(&self, kind: DownlinkKind) -> Option<QoS> {
        let of = |(target, _): &(SubscriptionTarget, _)| match target {
            SubscriptionTarget::Downlink(f, qos) if *f == kind => Some(*qos),
            _ => None,
        };
        self.filters.values().filter_map(of).max()
    }

    /// The Subscription Identifiers of the subscriptions for which `is_meant` holds.
    pub(super) fn ids(&self, is_meant: impl Fn(&str, SubscriptionTarget) -> bool) -> Vec<u32> {
        let meant = self.filters.iter().filter(|(filter, (target, _))| is_meant(filter, *target));
        meant.filter_map(|(_, (_, id))| *id).collect()
    }

    /// Whether the client is subscribed to answers to its requests.
    pub(super) fn replies(&self) -> bool {
        self.filters.values().any(|(target, _)| *target == SubscriptionTarget::Replies)
    }

    /// Whether the client, a gateway, is subscribed to errors.
    pub(super) fn errors(&self) -> bool {
        self.filters.values().any(|(target, _)| *target == SubscriptionTarget::Errors)
    }

    /// An estimate of the memory that they take in the whole host.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(subscriptions: &Subscriptions, filter: &str) -> Option<&'static str> {
        subscriptions.check_room(filter, limits::SUBSCRIPTIONS).err().map(|(limit, _)| limit.as_str())
    }

    #[test]
    fn the_number_of_filters_and_their_bytes_are_bounded() {
        let long = |n: usize| format!("{n}{}", "x".repeat(60_000));
        let deep = |n: usize| format!("{n}{}", "/a".repeat(limits::TOPIC_LEVELS - 1));
        let short = |n: usize| format!("site/{n}/building/+/floor/+/room/#");
        for (filter, fits, limit) in [
            (&long as &dyn Fn(usize) -> String, 4, "subscription_bytes"),
            (&deep, limits::SUBSCRIPTION_BYTES / (130 * 26), "subscription_bytes"),
            (&short, limits::SUBSCRIPTIONS, "subscriptions"),
        ] {
            let mut subscriptions = Subscriptions::default();
            let taken = (0..).take_while(|n| {
                let room = refused(&subscriptions, &filter(*n)).is_none();
                if room {
                    subscriptions.insert(filter(*n).into(), SubscriptionTarget::Topic, None);
                }
                room
            });
            let taken = taken.count();
            assert!((fits..=fits + fits / 40).contains(&taken), "{taken} {}", filter(0));
            assert_eq!(refused(&subscriptions, &filter(taken)), Some(limit));
            assert_eq!(refused(&subscriptions, &filter(0)), None, "it is there already");
            // The memory of a full set must be small enough for many clients.
            assert!(subscriptions.memory_bytes() <= 5 * 1024 * 1024, "{}", subscriptions.memory_bytes());
        }
    }

    #[test]
    fn what_goes_makes_room() {
        let mut subscriptions = Subscriptions::default();
        for filter in ["a", "a", "b/+", "c", "/devices/d/config"] {
            subscriptions.insert(
                filter.into(),
                if filter == "c" { SubscriptionTarget::Errors } else { SubscriptionTarget::Topic },
                None,
            );
        }
        assert!(subscriptions.errors() && subscriptions.topics().count() == 3);
        assert_eq!(subscriptions.remove("b/+"), Some(SubscriptionTarget::Topic));
        assert_eq!(subscriptions.remove("b/+"), None);
        assert_eq!(subscriptions.extract(|filter, _| filter == "c"), [Box::from("c")]);
        assert_eq!(subscriptions.extract(|_, _| true).len(), 2);
        assert_eq!((subscriptions.bytes, subscriptions.memory_bytes()), (0, 0));
    }
}
