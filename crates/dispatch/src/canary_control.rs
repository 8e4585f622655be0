//! Begins canaries of plugins, changes for whom they act, puts them in force, ends them.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    canary::{Canary, CanaryScope, median_us},
    manager::Manager,
    prepare::Component,
    runner::Runner,
    shadow::SHARE_SCALE,
    shadow_run::{ShadowError, checked_share},
};
use switchbox_model::PluginName;
use switchbox_plugin_runtime::PluginSettings;

/// What is to act, and for whom.
#[derive(Debug, Default)]
pub struct CanaryRequest {
    /// `None`: the component in force.
    pub component: Option<Component>,
    /// A settings file, and its text. `None`: the settings in force.
    pub settings: Option<(PluginSettings, String)>,
    /// Of all devices, more than 0 and at most 1.
    pub share: Option<f64>,
    /// A glob on the ids of devices.
    pub devices: Option<String>,
}

/// How a canary fares.
#[derive(Debug, Clone, Default)]
pub struct CanaryStatus {
    /// `sha256:…` of the candidate.
    pub digest: String,
    pub since_ms: u64,
    /// Of all devices; `None`: those that `devices` matches.
    pub share: Option<f64>,
    pub devices: Option<String>,
    pub events: u64,
    pub traps: u64,
    pub errors: u64,
    pub dead_letters: u64,
    /// The median guest time for an event, microseconds.
    pub median_us: u64,
    /// The same of the version in force.
    pub in_force_median_us: u64,
    /// Why it ended. `None`: it goes on.
    pub ended: Option<String>,
}

/// The files of a canary that is to be in force; `None`: as they are.
#[derive(Debug, Clone)]
pub struct CanaryFiles {
    pub component: Option<Bytes>,
    pub settings: Option<String>,
}

impl Manager {
    /// Begins a canary; where one goes on and neither a component nor settings are given, changes for whom it acts.
    pub async fn canary(&self, name: &PluginName, request: CanaryRequest) -> Result<CanaryStatus, ShadowError> {
        let runner = self.routes.runner(name).ok_or_else(|| ShadowError::NotRunning(name.clone()))?;
        let CanaryRequest { component, settings, share, devices } = request;
        let scope = match (share, devices) {
            (None, Some(devices)) => CanaryScope::devices(&devices).map_err(ShadowError::Invalid)?,
            (Some(share), None) => CanaryScope::Share(checked_share(Some(share))?),
            _ => {
                return Err(ShadowError::Invalid(
                    "a canary acts either for a share or for a pattern of devices".into(),
                ));
            }
        };
        let _one_at_a_time = self.tries.acquire().await;
        if let Some(canary) = runner.canary() {
            if component.is_some() || settings.is_some() {
                return Err(ShadowError::AlreadyRunning(name.clone()));
            }
            canary.set_scope(scope);
            runner.versions.recheck_instances();
            return Ok(status(&runner, &canary));
        }
        let of = runner.version();
        let bytes = component.as_ref().map(|component| component.bytes.clone());
        let (settings, text) = settings.map_or((None, None), |(settings, text)| (Some(settings), Some(text)));
        let candidate = self.candidate(name, &of, component, settings).await?;
        tracing::info!(plugin = %name, digest = %candidate.digest, "a canary acts for some devices");
        let canary = Canary::new(candidate, bytes, text, scope);
        runner.set_canary(canary.clone());
        Ok(status(&runner, &canary))
    }

    /// Ends the plugin's canary: the version in force acts for all devices. `None`: there is none.
    pub fn abort_canary(&self, name: &PluginName) -> Option<CanaryStatus> {
        let runner = self.routes.runner(name)?;
        let canary = runner.last_canary()?;
        runner.end_canary("aborted");
        Some(status(&runner, &canary))
    }

    #[must_use]
    pub fn canary_status(&self, name: &PluginName) -> Option<CanaryStatus> {
        let runner = self.routes.runner(name)?;
        runner.last_canary().map(|canary| status(&runner, &canary))
    }

    /// What has to be written into the plugin folder to put the canary in force. `None`: none goes on.
    #[must_use]
    pub fn canary_files(&self, name: &PluginName) -> Option<CanaryFiles> {
        let canary = self.routes.runner(name)?.canary()?;
        Some(CanaryFiles { component: canary.component.clone(), settings: canary.settings.clone() })
    }
}

#[allow(clippy::cast_precision_loss, reason = "at most 10,000")]
fn status(runner: &Arc<Runner>, canary: &Canary) -> CanaryStatus {
    let (share, devices) = match canary.scope() {
        CanaryScope::Share(share) => (Some(share as f64 / SHARE_SCALE as f64), None),
        CanaryScope::Devices(pattern, _) => (None, Some(pattern)),
    };
    let behaviour = canary.behaviour();
    CanaryStatus {
        digest: canary.version.digest.to_string(),
        since_ms: canary.since_ms,
        share,
        devices,
        events: behaviour.events,
        traps: behaviour.traps,
        errors: behaviour.errors,
        dead_letters: behaviour.dead_letters,
        median_us: median_us(&behaviour),
        in_force_median_us: median_us(&runner.version().behaviour.lock()),
        ended: canary.ended(),
    }
}
