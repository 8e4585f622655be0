//! Takes the windows of guards and the canaries out of the plugins that run, and lets canaries continue after a restart.

use super::{
    canary::{Canary, CanaryScope},
    manager::Manager,
    prepare::Component,
    runner::Runner,
    shadow_run::ShadowError,
    stored_windows::{StoredCanary, Windows},
};
use switchbox_model::PluginName;
use switchbox_plugin_runtime::PluginSettings;

impl Manager {
    /// The windows of a plugin, and the component of its canary if it is not the one in force.
    #[must_use]
    pub fn windows(&self, name: &PluginName) -> (Windows, Option<bytes::Bytes>) {
        let Some(runner) = self.routes.runner(name) else { return (Windows::default(), None) };
        let component = runner.canary().and_then(|canary| canary.component.clone());
        (windows_of(&runner), component)
    }

    #[must_use]
    pub fn is_running(&self, name: &PluginName) -> bool {
        self.routes.runner(name).is_some()
    }

    /// The windows of all plugins that run.
    #[must_use]
    pub fn all_windows(&self) -> Vec<(PluginName, Windows)> {
        self.routes.table().iter().map(|runner| (runner.name.clone(), windows_of(runner))).collect()
    }

    /// Lets a canary continue that was running when the host stopped, with the statistics that it had.
    pub async fn resume_canary(
        &self,
        name: &PluginName,
        stored: StoredCanary,
        component: Option<Component>,
    ) -> Result<(), ShadowError> {
        let runner = self.routes.runner(name).ok_or_else(|| ShadowError::NotRunning(name.clone()))?;
        let current = runner.version();
        let StoredCanary { in_force, settings: text, share, devices, since_ms, behaviour, .. } = stored;
        if current.id != in_force {
            return Err(ShadowError::Invalid("another version is in force".into()));
        }
        let scope = match (share, devices) {
            (Some(share), _) => CanaryScope::Share(share),
            (None, Some(devices)) => CanaryScope::devices(&devices).map_err(ShadowError::Invalid)?,
            (None, None) => return Err(ShadowError::Invalid("it acts for no device".into())),
        };
        let settings = text.as_deref().map(PluginSettings::parse).transpose();
        let settings = settings.map_err(|error| ShadowError::Invalid(error.to_string()))?;
        let bytes = component.as_ref().map(|component| component.bytes.clone());
        let candidate = self.candidate(name, &current, component, settings).await?;
        *candidate.behaviour.lock() = behaviour;
        tracing::info!(plugin = %name, digest = %candidate.digest, "the canary continues");
        runner.set_canary(Canary::new(candidate, bytes, text, scope, since_ms));
        Ok(())
    }
}

fn windows_of(runner: &Runner) -> Windows {
    let canary = runner.canary().map(|canary| stored(&canary, runner.version().id.clone()));
    Windows { guard: runner.versions.window(), canary }
}

fn stored(canary: &Canary, in_force: String) -> StoredCanary {
    let (share, devices) = match canary.scope() {
        CanaryScope::Share(share) => (Some(share), None),
        CanaryScope::Devices(pattern, _) => (None, Some(pattern)),
    };
    StoredCanary {
        in_force,
        component: canary.component.as_ref().map(|_| canary.version.digest.to_string()),
        settings: canary.settings.clone(),
        share,
        devices,
        since_ms: canary.since_ms,
        behaviour: canary.behaviour(),
    }
}
