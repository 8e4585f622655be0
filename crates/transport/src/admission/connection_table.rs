//! The admitted connections. Pure: gets the time as an argument.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::options::Options;
use switchbox_model::limits::LimitName;

/// How long an unauthenticated connection may stay when there are too many. A client that authenticates needs a fraction of this, unless
/// the host is slow, and then closing connections would not make it faster.
pub(super) const UNAUTHENTICATED_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct ConnectionTable {
    open: usize,
    of_address: HashMap<IpAddr, usize>,
    /// By their numbers: the oldest first.
    unauthenticated: BTreeMap<u64, Unauthenticated>,
    last_number: u64,
}

#[derive(Debug)]
struct Unauthenticated {
    since: Instant,
    leave: Arc<Notify>,
}

impl ConnectionTable {
    /// The error is the name of the limit.
    pub(super) fn enter(
        &mut self,
        options: &Options,
        address: Option<IpAddr>,
        leave: Arc<Notify>,
        now: Instant,
    ) -> Result<u64, LimitName> {
        if self.open >= options.connections {
            return Err(options.names.connections);
        }
        let taken = address.and_then(|address| self.of_address.get(&address)).copied().unwrap_or(0);
        if taken >= options.per_address {
            return Err(options.names.per_address);
        }
        if self.unauthenticated.len() >= options.unauthenticated && !self.evict_oldest(now) {
            return Err(options.names.unauthenticated);
        }
        self.open += 1;
        if let Some(address) = address {
            *self.of_address.entry(address).or_default() += 1;
        }
        self.last_number += 1;
        self.unauthenticated.insert(self.last_number, Unauthenticated { since: now, leave });
        Ok(self.last_number)
    }

    /// Closes the oldest unauthenticated connection. Returns false if none is older than its timeout.
    fn evict_oldest(&mut self, now: Instant) -> bool {
        let Some(oldest) = self.unauthenticated.first_entry() else { return false };
        if now.saturating_duration_since(oldest.get().since) < UNAUTHENTICATED_TIMEOUT {
            return false;
        }
        oldest.remove().leave.notify_one();
        true
    }

    pub(super) fn mark_authenticated(&mut self, number: u64) {
        self.unauthenticated.remove(&number);
    }

    pub(super) fn leave(&mut self, number: u64, address: Option<IpAddr>) {
        self.unauthenticated.remove(&number);
        self.open = self.open.saturating_sub(1);
        let Some(address) = address else { return };
        if let Some(taken) = self.of_address.get_mut(&address) {
            *taken -= 1;
            if *taken == 0 {
                self.of_address.remove(&address);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0 && self.of_address.is_empty() && self.unauthenticated.is_empty()
    }
}
