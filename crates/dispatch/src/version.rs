//! A plugin's version in force, the one before it, and whether the new one has proved itself: a version that fails in its first
//! events is taken back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::RwLock;

use super::guard::TokenRates;
use switchbox_plugin_runtime::{Component, Description, Grant, Setup, Trigger, Triggers};

/// A new version that traps within so many events is taken back.
const TRIAL_EVENTS: u64 = 10;

/// A component with its settings, ready to handle events.
pub(super) struct Version {
    pub(super) component: Component,
    pub(super) digest: Arc<str>,
    /// Stands for the component and all of its settings.
    pub(super) id: String,
    pub(super) setup: Arc<Setup>,
    pub(super) triggers: Triggers,
    /// The same, to be shown.
    pub(super) shown_triggers: Vec<Trigger>,
    pub(super) description: Description,
    /// What is asked for and granted, to be shown.
    pub(super) grants_in_force: Vec<Grant>,
    /// What of its files is of no use.
    pub(super) warnings: Vec<String>,
    /// How fast its effects may come.
    pub(super) token_rates: TokenRates,
}

/// The versions of a plugin.
pub(super) struct Versions {
    known: RwLock<Known>,
    /// Grows whenever another version is in force.
    turns: AtomicU64,
    /// The version in force may still be taken back.
    on_trial: AtomicBool,
}

struct Known {
    current: Arc<Version>,
    previous: Option<Arc<Version>>,
    /// Events handled by the current one.
    handled: u64,
}

impl Versions {
    /// The first one is not on trial: there is nothing to go back to.
    pub(super) fn new(first: Version) -> Self {
        let known = Known { current: Arc::new(first), previous: None, handled: TRIAL_EVENTS };
        Self { known: RwLock::new(known), turns: AtomicU64::new(0), on_trial: AtomicBool::new(false) }
    }

    pub(super) fn current(&self) -> Arc<Version> {
        self.known.read().current.clone()
    }

    /// While this stays the same, so does the version.
    pub(super) fn epoch(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// The next event is handled by this version.
    pub(super) fn replace(&self, version: Version) {
        let mut known = self.known.write();
        let before = std::mem::replace(&mut known.current, Arc::new(version));
        // One that is still on trial itself is nothing to go back to.
        if known.previous.is_none() || !self.on_trial.load(Ordering::Acquire) {
            known.previous = Some(before);
        }
        known.handled = 0;
        self.on_trial.store(true, Ordering::Release);
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// A worker's instance trapped. If its version was new, the one before it is in force again and is returned.
    pub(super) fn take_back(&self, failed: &Arc<Version>) -> Option<Arc<Version>> {
        let mut known = self.known.write();
        if known.handled >= TRIAL_EVENTS || !Arc::ptr_eq(&known.current, failed) {
            return None;
        }
        let previous = known.previous.take()?;
        known.current = previous.clone();
        known.handled = TRIAL_EVENTS;
        self.on_trial.store(false, Ordering::Release);
        self.turns.fetch_add(1, Ordering::Release);
        Some(previous)
    }

    /// A version that has handled its first events stays.
    pub(super) fn note_handled(&self, version: &Arc<Version>) {
        if !self.on_trial.load(Ordering::Acquire) {
            return;
        }
        let mut known = self.known.write();
        if Arc::ptr_eq(&known.current, version) {
            known.handled += 1;
            if known.handled >= TRIAL_EVENTS {
                known.previous = None;
                self.on_trial.store(false, Ordering::Release);
            }
        }
    }
}
