//! Control of canaries: starting, changing their devices, putting them in force, and ending them.

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
use switchbox_support::clock;

/// The candidate, and the devices that it acts for.
#[derive(Debug, Default)]
pub struct CanaryRequest {
    /// `None`: the component in force.
    pub component: Option<Component>,
    /// A settings file, and its text. `None`: the settings in force.
    pub settings: Option<(PluginSettings, String)>,
    /// The share of all devices, more than 0 and at most 1.
    pub share: Option<f64>,
    /// A glob for device ids.
    pub devices: Option<String>,
}

/// The status of a canary.
#[derive(Debug, Clone, Default)]
pub struct CanaryStatus {
    /// `sha256:…` of the candidate.
    pub digest: String,
    pub since_ms: u64,
    /// The share of all devices. `None` if `devices` selects them.
    pub share: Option<f64>,
    pub devices: Option<String>,
    pub events: u64,
    pub traps: u64,
    pub errors: u64,
    pub dead_letters: u64,
    /// The median guest time for an event, microseconds.
    pub median_us: u64,
    /// The median guest time of the version in force, microseconds.
    pub in_force_median_us: u64,
    /// Why it ended. `None` if it is running.
    pub ended: Option<String>,
}

/// The files that put a canary in force. `None` for a file that stays unchanged.
#[derive(Debug, Clone)]
pub struct CanaryFiles {
    pub component: Option<Bytes>,
    pub settings: Option<String>,
}

impl Manager {
    /// Starts a canary. If one is running and neither a component nor settings are given, changes the devices that it acts for.
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
        let (new, in_force) = (candidate.schema(), of.schema());
        if new != in_force {
            return Err(ShadowError::Invalid(format!(
                "the candidate keeps the plugin's state in schema {new}, and the version in force in schema {in_force}; a canary shares the state, so try this candidate as a shadow"
            )));
        }
        tracing::info!(plugin = %name, digest = %candidate.digest, "a canary acts for some devices");
        let canary = Canary::new(candidate, bytes, text, scope, clock::now_ms());
        runner.set_canary(canary.clone());
        Ok(status(&runner, &canary))
    }

    /// Ends the plugin's canary, so that the version in force acts for all devices. Returns `None` if there is no canary.
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

    /// The files to write into the plugin folder to put the canary in force. Returns `None` if no canary is running.
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
