//! Control of canaries: starting, changing their devices, putting them in force, and ending them.

use bytes::Bytes;

use super::{
    canary::{Canary, CanaryScope},
    canary_end::{self, status},
    manager::Manager,
    prepare::Component,
    shadow_run::{ShadowError, checked_share},
};
use switchbox_model::PluginName;
use switchbox_plugin_runtime::{CanaryStatus, PluginSettings};
use switchbox_support::clock;

/// The candidate, and the devices that it acts for.
#[derive(Debug, Default)]
pub struct CanaryRequest {
    /// The component. Is `None` if it is the one in force.
    pub component: Option<Component>,
    /// A settings file, and its text. Is `None` if they are the settings in force.
    pub settings: Option<(PluginSettings, String)>,
    /// The share of all devices, more than 0 and at most 1.
    pub share: Option<f64>,
    /// A glob for device ids.
    pub devices: Option<String>,
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
        let in_force = runner.version();
        let bytes = component.as_ref().map(|component| component.bytes.clone());
        let (settings, text) = settings.map_or((None, None), |(settings, text)| (Some(settings), Some(text)));
        let candidate = self.candidate(name, &in_force, component, settings).await?;
        let (new_schema, schema_in_force) = (candidate.schema(), in_force.schema());
        if new_schema != schema_in_force {
            return Err(ShadowError::Invalid(format!(
                "the candidate keeps the plugin's state in schema {new_schema}, and the version in force in schema {schema_in_force}; a canary shares the state, so try this candidate as a shadow"
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
        canary_end::end(&runner, "aborted".into());
        Some(status(&runner, &canary))
    }

    /// The status of the plugin's newest canary, running or ended. Returns `None` if it has had none since it was started.
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
