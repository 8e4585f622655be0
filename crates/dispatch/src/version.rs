//! A plugin's current version and the one before it. A new version is on probation for its first events: if it fails in one of
//! them, the version before it is active again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::RwLock;

use super::guard::TokenRates;
use switchbox_plugin_runtime::{Component, Description, Grant, GrantPatterns, Setup, Trigger, Triggers};

/// A new version that fails within so many events is taken back.
const PROBATION_EVENTS: u64 = 10;

/// A component with its settings, ready to handle events.
pub(super) struct Version {
    pub(super) component: Component,
    pub(super) digest: Arc<str>,
    /// An id of the component with all of its settings.
    pub(super) id: String,
    pub(super) setup: Arc<Setup>,
    pub(super) triggers: Triggers,
    /// The same, for the status.
    pub(super) trigger_list: Vec<Trigger>,
    pub(super) description: Description,
    /// Those both asked for and granted, for the status.
    pub(super) grants_in_force: Vec<Grant>,
    /// Parts of its files that can have no effect.
    pub(super) warnings: Vec<String>,
    /// What its settings grant of what it asks for. `None`: all.
    pub(super) granted: Option<GrantPatterns>,
    /// Its triggers are those of its settings, and not those that the component describes.
    pub(super) triggers_set: bool,
    /// The rate limits of its effects.
    pub(super) token_rates: TokenRates,
}

/// The versions of a plugin.
pub(super) struct Versions {
    known: RwLock<Known>,
    /// Incremented whenever the current version changes.
    epoch: AtomicU64,
    /// The current version may still be taken back.
    on_probation: AtomicBool,
}

struct Known {
    current: Arc<Version>,
    previous: Option<Arc<Version>>,
    /// Events handled by the current one.
    handled: u64,
}

impl Versions {
    /// The first version is not on probation: there is no version before it.
    pub(super) fn new(first: Version) -> Self {
        let known = Known { current: Arc::new(first), previous: None, handled: PROBATION_EVENTS };
        Self { known: RwLock::new(known), epoch: AtomicU64::new(0), on_probation: AtomicBool::new(false) }
    }

    pub(super) fn current(&self) -> Arc<Version> {
        self.known.read().current.clone()
    }

    /// The current version is the same as long as this number is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The version stays, and workers see whether their instances are still those that are wanted.
    pub(super) fn look_again(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// The next event is handled by this version.
    pub(super) fn replace(&self, version: Version) {
        let mut known = self.known.write();
        let before = std::mem::replace(&mut known.current, Arc::new(version));
        // A version that was on probation itself is not kept as the previous one.
        if known.previous.is_none() || !self.on_probation.load(Ordering::Acquire) {
            known.previous = Some(before);
        }
        known.handled = 0;
        self.on_probation.store(true, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// A worker's instance trapped. If its version was on probation, activates the version before it and returns that.
    pub(super) fn take_back(&self, failed: &Arc<Version>) -> Option<Arc<Version>> {
        let mut known = self.known.write();
        if known.handled >= PROBATION_EVENTS || !Arc::ptr_eq(&known.current, failed) {
            return None;
        }
        let previous = known.previous.take()?;
        known.current = previous.clone();
        known.handled = PROBATION_EVENTS;
        self.on_probation.store(false, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
        Some(previous)
    }

    /// Counts an event handled by the version. The probation ends after the first events.
    pub(super) fn record_handled(&self, version: &Arc<Version>) {
        if !self.on_probation.load(Ordering::Acquire) {
            return;
        }
        let mut known = self.known.write();
        if Arc::ptr_eq(&known.current, version) {
            known.handled += 1;
            if known.handled >= PROBATION_EVENTS {
                known.previous = None;
                self.on_probation.store(false, Ordering::Release);
            }
        }
    }
}
