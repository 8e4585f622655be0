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
                return Err(ShadowError::HasCanary(name.clone()));
            }
            canary.set_scope(scope);
            runner.versions.recheck_instances();
            return Ok(status(&runner, &canary));
        }
        let in_force = runner.version();
        let bytes = component.as_ref().map(|component| component.bytes.clone());
        let (settings, text) = settings.map_or((None, None), |(settings, text)| (Some(settings), Some(text)));
        check_files(settings.as_ref(), bytes.is_some(), &in_force.files).map_err(ShadowError::Invalid)?;
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

/// Checks that the canary's files put that canary in force, when they are promoted. `settings`: those of the candidate, `in_force`: those that
/// it has otherwise. `has_component`: the candidate has a component of its own, which becomes the `.wasm` of the plugin's name.
fn check_files(
    settings: Option<&PluginSettings>,
    has_component: bool,
    in_force: &PluginSettings,
) -> Result<(), String> {
    let settings = settings.unwrap_or(in_force);
    if !settings.enabled {
        return Err(
            "settings: enabled = false would disable the plugin when the canary is promoted; leave it out".into()
        );
    }
    let expected = if has_component { None } else { in_force.component.as_ref() };
    match (&settings.component, expected) {
        (named, expected) if named.as_ref() == expected => Ok(()),
        (_, None) => Err("settings: component would be in force after a promotion, and is not the component that the canary runs; leave it out, and give the component with --component".into()),
        (_, Some(_)) => Err("settings: component has to be that of the settings in force, or else another component is in force after a promotion".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_would_put_another_component_in_force_are_refused() {
        const OTHER: &str = "component = \"other.wasm\"\n";
        const NONE: &str = "[settings]\nn = 1\n";
        for (candidate, has_component, in_force, refused) in [
            (Some(NONE), false, NONE, None),
            (Some(NONE), true, OTHER, None),
            (Some(OTHER), false, OTHER, None),
            (None, true, NONE, None),
            (Some(OTHER), false, NONE, Some("leave it out, and give")),
            (Some(OTHER), true, OTHER, Some("leave it out, and give")),
            (None, true, OTHER, Some("leave it out, and give")),
            (Some(NONE), false, OTHER, Some("that of the settings in force")),
            (Some("enabled = false\n"), false, NONE, Some("enabled = false")),
        ] {
            let candidate_settings = candidate.map(|text| PluginSettings::parse(text).unwrap());
            let in_force_settings = PluginSettings::parse(in_force).unwrap();
            let checked = check_files(candidate_settings.as_ref(), has_component, &in_force_settings);
            match refused {
                None => assert_eq!(checked, Ok(()), "{candidate:?} {has_component} {in_force}"),
                Some(text) => assert!(checked.unwrap_err().contains(text), "{candidate:?} {has_component} {in_force}"),
            }
        }
    }
}
