//! What can be seen of the plugins.

use super::{
    Manager,
    manager::Slot,
    status::{PluginState, PluginStatus, Totals},
};
use switchbox_model::PluginName;

impl Manager {
    /// Every plugin that there is, in order of the names.
    #[must_use]
    pub fn list(&self) -> Vec<PluginStatus> {
        let slots = self.slots.lock();
        slots.iter().map(|(name, slot)| self.status(name, slot)).collect()
    }

    /// None: there is no such plugin.
    #[must_use]
    pub fn get(&self, name: &PluginName) -> Option<PluginStatus> {
        self.slots.lock().get(name).map(|slot| self.status(name, slot))
    }

    fn status(&self, name: &PluginName, slot: &Slot) -> PluginStatus {
        let runner = self.routes.runner(name);
        let version = runner.as_ref().map(|runner| runner.version());
        let description = version.as_ref().map(|version| &version.description).or(slot.asked.as_ref());
        let (queued, lagging) = runner.as_ref().map_or((0, false), |runner| runner.backlog.waits());
        let taken_back = self.context.lifecycles.lock().get(name).and_then(|lifecycle| lifecycle.taken_back.clone());
        PluginStatus {
            name: name.to_string(),
            state: slot.state.unwrap_or(PluginState::Broken),
            digest: version.as_ref().map(|version| version.digest.to_string()),
            component: slot.origin.clone(),
            triggers: version.as_ref().map(|version| version.shown_triggers.clone()).unwrap_or_default(),
            grants: description.map(|description| description.grants.clone()).unwrap_or_default(),
            grants_in_force: version.as_ref().map(|version| version.grants_in_force.clone()).unwrap_or_default(),
            settings: version.as_ref().map_or_else(|| "{}".into(), |version| version.setup.settings.clone()),
            description: description.cloned(),
            last_error: slot.error.clone().or_else(|| runner.as_ref().and_then(|runner| runner.counters.last_error())),
            queued,
            lagging,
            warnings: {
                let of_files = version.iter().flat_map(|version| version.warnings.iter().cloned());
                of_files.chain(self.context.warnings.lock().of(name)).collect()
            },
            timers: self.context.timers.count(name),
            next_timer_ms: self.context.timers.next_due_of(name),
            taken_back,
            totals: runner.as_ref().map_or_else(Totals::default, |runner| runner.counters.totals()),
        }
    }
}
