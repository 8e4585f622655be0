//! A plugin's version in force (`current`) and the previous one. A new version is under guard for its first events: if it violates the `[guard]`
//! of its settings, the previous version comes into force again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};

use super::{
    behaviour::{Behaviour, Observation},
    loop_guard::TokenRates,
    stored_windows::GuardWindow,
    version_guard,
};
use switchbox_plugin_runtime::{
    Component, Description, GrantPatterns, GrantRequest, PluginSettings, Setup, Trigger, Triggers,
    guard::GuardSettings, taken_away,
};
use switchbox_support::clock;

/// A component with its settings, ready to handle events.
pub(super) struct Version {
    pub(super) component: Component,
    pub(super) digest: Arc<str>,
    /// The digest as the journal has it for what the version does.
    pub(super) journaled_as: Arc<str>,
    /// An id of the component with all of its settings.
    pub(super) id: String,
    pub(super) setup: Arc<Setup>,
    pub(super) triggers: Triggers,
    /// The triggers, for the status.
    pub(super) trigger_list: Vec<Trigger>,
    pub(super) description: Description,
    /// The grants that are both asked for and granted, for the status.
    pub(super) grants_in_force: Vec<GrantRequest>,
    /// Parts of its files that can have no effect.
    pub(super) warnings: Vec<String>,
    /// The part of the version's requested grants that its settings give. `None` if they give all.
    pub(super) granted: Option<GrantPatterns>,
    /// The triggers are those of the settings, and not those that the component describes.
    pub(super) triggers_set: bool,
    /// The rate limits of its effects.
    pub(super) token_rates: TokenRates,
    pub(super) guard: GuardSettings,
    /// The version's settings file.
    pub(super) files: PluginSettings,
    /// The version's statistics since it came into force.
    pub(super) behaviour: Mutex<Behaviour>,
}

impl Version {
    /// The schema in which it keeps the plugin's state.
    pub(super) fn schema(&self) -> u32 {
        self.description.state.current
    }
}

/// The versions of a plugin.
pub(super) struct Versions {
    versions: RwLock<CurrentAndPrevious>,
    /// Incremented whenever the current version changes.
    epoch: AtomicU64,
    /// The current version may still be rolled back.
    under_guard: AtomicBool,
}

struct CurrentAndPrevious {
    /// The version in force.
    current: Arc<Version>,
    /// The version that comes into force again if the current one violates its guard. Is `None` if the current one is not under guard.
    previous: Option<Arc<Version>>,
    /// When the current version came into force.
    since: Instant,
}

/// The progress of the window in which a version may be rolled back.
#[derive(Debug, Clone)]
pub(super) struct UnderGuard {
    pub(super) since: Instant,
    pub(super) behaviour: Behaviour,
    pub(super) guard: GuardSettings,
}

impl Versions {
    /// The first version is not under guard: there is no version before it.
    pub(super) fn new(first: Version) -> Self {
        let versions = CurrentAndPrevious { current: Arc::new(first), previous: None, since: Instant::now() };
        Self { versions: RwLock::new(versions), epoch: AtomicU64::new(0), under_guard: AtomicBool::new(false) }
    }

    pub(super) fn current(&self) -> Arc<Version> {
        self.versions.read().current.clone()
    }

    /// The version that comes back if the current one violates its guard. Returns `None` if the current one is not under guard.
    pub(super) fn previous(&self) -> Option<Arc<Version>> {
        self.versions.read().previous.clone()
    }

    /// The current version is the same as long as this number is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The version stays the same; workers check whether their instances still fit.
    pub(super) fn recheck_instances(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// The next event is handled by this version. If it is the current one, made anew, it is not guarded against itself.
    pub(super) fn replace(&self, version: Version) {
        let mut versions = self.versions.write();
        if versions.current.id == version.id {
            *version.behaviour.lock() = versions.current.behaviour.lock().clone();
            versions.current = Arc::new(version);
            self.epoch.fetch_add(1, Ordering::Release);
            return;
        }
        let previous = std::mem::replace(&mut versions.current, Arc::new(version));
        // A version that was under guard itself is not kept as the previous one.
        if versions.previous.is_none() || !self.under_guard.load(Ordering::Acquire) {
            versions.previous = Some(previous);
        }
        versions.since = Instant::now();
        self.under_guard.store(true, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// After a restart of the host: the current version is under guard, and this one comes back if it fails.
    pub(super) fn guard(&self, previous: Version, window: Option<GuardWindow>) {
        let mut versions = self.versions.write();
        if let Some(window) = window.filter(|window| window.version == versions.current.id) {
            *versions.current.behaviour.lock() = window.of_version;
            *previous.behaviour.lock() = window.of_before;
            let for_ms = clock::now_ms().saturating_sub(window.since_ms);
            versions.since = Instant::now().checked_sub(Duration::from_millis(for_ms)).unwrap_or(versions.since);
        }
        versions.previous = Some(Arc::new(previous));
        self.under_guard.store(true, Ordering::Release);
    }

    /// The window of the current version. Returns `None` if it is not under guard.
    pub(super) fn window(&self) -> Option<GuardWindow> {
        let versions = self.versions.read();
        let previous = versions.previous.as_ref().filter(|_| self.is_under_guard())?;
        let for_ms = u64::try_from(versions.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(GuardWindow {
            version: versions.current.id.clone(),
            before: previous.id.clone(),
            since_ms: clock::now_ms().saturating_sub(for_ms),
            of_version: versions.current.behaviour.lock().clone(),
            of_before: previous.behaviour.lock().clone(),
        })
    }

    /// Whether observations of the current version may roll it back.
    pub(super) fn is_under_guard(&self) -> bool {
        self.under_guard.load(Ordering::Acquire)
    }

    /// A version that was current before is so again, and not under guard.
    pub(super) fn back_to(&self, version: Arc<Version>) {
        let mut versions = self.versions.write();
        (versions.current, versions.previous) = (version, None);
        self.under_guard.store(false, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Adds executions to a version's statistics. If it is the current version, is under guard and violates its guard, returns the
    /// previous version and the reason. The previous version is current then, unless it keeps the state in another schema. Returns the version
    /// itself if it stays in force.
    pub(super) fn observe(
        &self,
        version: &Arc<Version>,
        observations: impl Iterator<Item = Observation>,
    ) -> Option<(Arc<Version>, String)> {
        {
            let mut behaviour = version.behaviour.lock();
            observations.for_each(|observation| behaviour.add(observation));
        }
        if self.is_under_guard() { self.judge(version) } else { None }
    }

    /// Adds an event of this version that became a dead letter.
    pub(super) fn observe_dead_letter(&self, version: &Arc<Version>) -> Option<(Arc<Version>, String)> {
        version.behaviour.lock().dead_letters += 1;
        if self.is_under_guard() { self.judge(version) } else { None }
    }

    fn judge(&self, version: &Arc<Version>) -> Option<(Arc<Version>, String)> {
        let mut versions = self.versions.write();
        if !Arc::ptr_eq(&versions.current, version) {
            return None;
        }
        let previous = versions.previous.clone()?;
        let (why, is_over) = {
            let of_previous = previous.behaviour.lock();
            let of_current = version.behaviour.lock();
            let why = version_guard::violation(&version.guard, &of_current, Some(&of_previous));
            (why, version_guard::is_over(&version.guard, &of_current, versions.since.elapsed()))
        };
        if why.is_none() && !is_over {
            return None;
        }
        versions.previous = None;
        self.under_guard.store(false, Ordering::Release);
        let why = why?;
        // Only an operator gives back what an operator has taken away.
        if let Some(what) = taken_away(&previous.files, &previous.description.grants, &version.files) {
            return Some((
                version.clone(),
                format!(
                    "{why}; it stays in force, because the version before has {what}, which its settings take away"
                ),
            ));
        }
        if previous.schema() == version.schema() {
            versions.current = previous.clone();
            self.epoch.fetch_add(1, Ordering::Release);
        }
        Some((previous, why))
    }

    /// Returns `None` if the current version is not under guard.
    pub(super) fn guarded(&self) -> Option<UnderGuard> {
        let versions = self.versions.read();
        if !self.is_under_guard() || versions.previous.is_none() {
            return None;
        }
        let behaviour = versions.current.behaviour.lock().clone();
        Some(UnderGuard { since: versions.since, behaviour, guard: versions.current.guard.clone() })
    }
}
