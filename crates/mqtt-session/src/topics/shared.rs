//! A shared subscription: each message goes to one of several clients. Chooses the client, and does not deliver.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use super::subscriber::{Options, Subscriber};

/// A member of a group, with the options of its own subscription.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) subscriber: Arc<dyn Subscriber>,
    pub(super) options: Options,
}

/// The members of one `$share/{name}/{filter}`.
pub(super) struct Group {
    /// The group's id as a subscriber in the trie.
    pub(super) id: u64,
    /// The whole filter, so that a message can be sent to another member if the one that had it does not acknowledge it.
    pub(super) filter: Arc<str>,
    members: Mutex<Vec<Member>>,
    /// Counts messages, for the round robin.
    message_count: AtomicUsize,
}

impl Group {
    pub(super) fn new(id: u64, filter: &str) -> Self {
        Self { id, filter: filter.into(), members: Mutex::default(), message_count: AtomicUsize::new(0) }
    }

    /// Adds a member. Returns true if it was a member already; its options are replaced then.
    pub(super) fn join(&self, member: Member) -> bool {
        let mut members = self.members.lock();
        match members.iter_mut().find(|m| m.subscriber.id() == member.subscriber.id()) {
            Some(existing) => {
                *existing = member;
                true
            }
            None => {
                members.push(member);
                false
            }
        }
    }

    /// Removes a member. Returns true if it was one.
    pub(super) fn leave(&self, subscriber: u64) -> bool {
        let mut members = self.members.lock();
        let count_before = members.len();
        members.retain(|member| member.subscriber.id() != subscriber);
        members.len() < count_before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.lock().is_empty()
    }

    /// All members in the order in which a message is offered to them: round robin, with the connected members before the offline ones.
    pub(super) fn in_delivery_order(&self) -> Vec<Member> {
        let mut members = self.members.lock().clone();
        if members.is_empty() {
            return members;
        }
        let first = self.message_count.fetch_add(1, Ordering::Relaxed) % members.len();
        members.rotate_left(first);
        // Each member is asked once, because the order has to stay the same if one connects meanwhile.
        members.sort_by_cached_key(|member| !member.subscriber.is_connected());
        members
    }
}
