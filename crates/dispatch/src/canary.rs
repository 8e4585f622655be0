//! A canary: a candidate that acts for some devices, while the version in force acts for the others. Each event is handled by one
//! of the two. Both use the same state of the plugin, so a device may move between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{
    behaviour::{Behaviour, Observation},
    queue::Job,
    shadow::{is_in_share, share_key},
    version::Version,
    version_guard,
};
use switchbox_plugin_runtime::{CanaryEnd, ineffective};
use switchbox_rules::pattern::{GlobSet, check_patterns, globs};

/// The devices that a canary acts for.
#[derive(Debug, Clone)]
pub(super) enum CanaryScope {
    /// The canary acts for this many of 10,000 devices.
    Share(u64),
    /// The devices whose id matches the pattern.
    Devices(String, GlobSet),
}

impl CanaryScope {
    /// # Errors
    ///
    /// Returns a text that names the pattern, if it is invalid or can match no device.
    pub(super) fn devices(pattern: &str) -> Result<Self, String> {
        check_patterns(std::iter::once(pattern))?;
        if let Some(why) = ineffective::ids(pattern) {
            return Err(why);
        }
        Ok(Self::Devices(pattern.to_owned(), globs(&[pattern.to_owned()])?))
    }
}

/// A canary of a plugin.
pub(super) struct Canary {
    pub(super) version: Arc<Version>,
    /// The component's bytes, for putting it in force. `None` if the canary has the component in force.
    pub(super) component: Option<bytes::Bytes>,
    /// The text of its settings file. `None` if the canary has the settings in force.
    pub(super) settings: Option<String>,
    /// When the canary was started, milliseconds since the Unix epoch.
    pub(super) since_ms: u64,
    scope: RwLock<CanaryScope>,
    is_over: AtomicBool,
    /// How the canary ended; `None` if it is running.
    ended: Mutex<Option<CanaryEnd>>,
}

impl Canary {
    pub(super) fn new(
        version: Arc<Version>,
        component: Option<bytes::Bytes>,
        settings: Option<String>,
        scope: CanaryScope,
        since_ms: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            version,
            component,
            settings,
            since_ms,
            scope: RwLock::new(scope),
            is_over: AtomicBool::new(false),
            ended: Mutex::default(),
        })
    }

    pub(super) fn scope(&self) -> CanaryScope {
        self.scope.read().clone()
    }

    pub(super) fn set_scope(&self, scope: CanaryScope) {
        *self.scope.write() = scope;
    }

    /// Whether the canary handles the job. Timers and other events without a device belong to the version in force.
    pub(super) fn acts_for(&self, job: &Job) -> bool {
        match &*self.scope.read() {
            CanaryScope::Share(share) => share_key(&job.event).is_some_and(|key| is_in_share(Some(key), *share)),
            CanaryScope::Devices(_, globs) => {
                job.device.as_ref().is_some_and(|device| globs.is_match(device.name.id.as_str()))
            }
        }
    }

    pub(super) fn end(&self, end: CanaryEnd) {
        self.ended.lock().get_or_insert(end);
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(super) fn ended(&self) -> Option<CanaryEnd> {
        self.ended.lock().clone()
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        self.version.behaviour.lock().clone()
    }

    /// Adds executions to the canary's statistics. Returns the reason if its guard requires that it ends. The guard of a canary has
    /// no window.
    pub(super) fn observe(
        &self,
        observations: impl Iterator<Item = Observation>,
        in_force: &Version,
    ) -> Option<String> {
        let of_in_force = in_force.behaviour.lock().clone();
        let mut behaviour = self.version.behaviour.lock();
        observations.for_each(|observation| behaviour.add(observation));
        version_guard::violation(&self.version.guard, &behaviour, Some(&of_in_force))
    }

    /// Adds a dead letter to the statistics. Returns what [`Canary::observe`] returns.
    pub(super) fn observe_dead_letter(&self, in_force: &Version) -> Option<String> {
        self.version.behaviour.lock().dead_letters += 1;
        self.observe(std::iter::empty(), in_force)
    }
}

/// The median guest time in microseconds, for status texts.
pub(super) fn median_us(behaviour: &Behaviour) -> u64 {
    let median = behaviour.median_guest_time().unwrap_or(Duration::ZERO);
    u64::try_from(median.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_matches_no_device_is_refused() {
        for (pattern, text) in [
            ("source-[01]", None),
            ("hall/x", Some("\"hall/x\" matches no device: it is matched against the device's id, which has no /")),
            ("my lamp", Some("\"my lamp\" matches no device: a device's id has only letters, digits and - _ . ~ % :")),
        ] {
            assert_eq!(CanaryScope::devices(pattern).err().as_deref(), text, "{pattern}");
        }
    }
}
