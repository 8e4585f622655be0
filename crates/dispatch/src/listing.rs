//! The status of each plugin, for the HTTP API.

use super::{
    Manager,
    manager::InstalledPlugin,
    status::{GuardStatus, PluginState, PluginStatus, Totals},
    version::UnderGuard,
};
use switchbox_model::PluginName;
use switchbox_support::clock;

impl Manager {
    /// Every installed plugin, ordered by name.
    #[must_use]
    pub fn list(&self) -> Vec<PluginStatus> {
        let installed = self.installed.lock();
        installed.iter().map(|(name, plugin)| self.status(name, plugin)).collect()
    }

    /// Returns `None` if there is no such plugin.
    #[must_use]
    pub fn get(&self, name: &PluginName) -> Option<PluginStatus> {
        self.installed.lock().get(name).map(|plugin| self.status(name, plugin))
    }

    fn status(&self, name: &PluginName, plugin: &InstalledPlugin) -> PluginStatus {
        let runner = self.routes.runner(name);
        let version = runner.as_ref().map(|runner| runner.version());
        let description = version.as_ref().map(|version| &version.description).or(plugin.waiting_description.as_ref());
        let (queued, lagging) = runner.as_ref().map_or((0, false), |runner| runner.backlog.len());
        let rolled_back = self.context.lifecycles.lock().get(name).and_then(|lifecycle| lifecycle.rolled_back.clone());
        let mut totals = runner.as_ref().map_or_else(Totals::default, |runner| runner.counters.totals());
        plugin.add_limits_to(&mut totals.limits_hit);
        PluginStatus {
            name: name.to_string(),
            state: plugin.state.unwrap_or(PluginState::Broken),
            digest: version.as_ref().map(|version| version.digest.to_string()),
            version_id: version.as_ref().map(|version| version.id.clone()),
            component: plugin.origin.clone(),
            in_force_ms: plugin.in_force_ms,
            triggers: version.as_ref().map(|version| version.trigger_list.clone()).unwrap_or_default(),
            grants: description.map(|description| description.grants.clone()).unwrap_or_default(),
            grants_in_force: version.as_ref().map(|version| version.grants_in_force.clone()).unwrap_or_default(),
            imports: version.as_ref().map(|version| version.component.imports().to_vec()).unwrap_or_default(),
            settings: version.as_ref().map_or_else(|| "{}".into(), |version| version.setup.settings.clone()),
            limits: version.as_ref().map(|version| version.setup.limits.clone()),
            description: description.cloned(),
            last_error: plugin
                .error
                .clone()
                .or_else(|| runner.as_ref().and_then(|runner| runner.counters.last_error())),
            queued,
            waiting_for_approval: self.context.approvals.count(name),
            lagging,
            warnings: {
                let of_files = version.iter().flat_map(|version| version.warnings.iter().cloned());
                of_files.chain(self.context.warnings.lock().of(name)).collect()
            },
            timers: self.context.timers.count(name),
            next_timer_ms: self.context.timers.next_due_of(name),
            guard: runner.as_ref().and_then(|runner| runner.versions.guarded()).map(guard),
            rolled_back,
            totals,
        }
    }
}

fn guard(guarded: UnderGuard) -> GuardStatus {
    let UnderGuard { since, behaviour, guard } = guarded;
    let for_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    GuardStatus {
        since_ms: clock::now_ms().saturating_sub(for_ms),
        events: behaviour.events,
        traps: behaviour.traps,
        errors: behaviour.errors,
        dead_letters: behaviour.dead_letters,
        of_events: guard.events,
        time: guard.time,
    }
}
