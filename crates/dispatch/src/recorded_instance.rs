//! An instance whose plugin is recorded. It is recorded from its beginning or not at all, so that a replay can begin as it began: where
//! a recording begins or ends, workers start new instances.

use std::sync::Arc;

use super::{host::PluginHost, queue::Job, runner::Runner, version::Version};
use switchbox_dry_run::{recorder::Recorder, recording::VersionLine, sink::Recording};
use switchbox_model::limits::names;
use switchbox_plugin_runtime::{CallError, Execution, Instance};
use switchbox_support::clock;

/// An instance that is recorded.
pub(super) struct RecordedInstance {
    recording: Arc<Recording>,
    recorder: Arc<Recorder>,
    instance: u32,
}

impl RecordedInstance {
    pub(super) fn is_of(&self, recording: Option<&Arc<Recording>>) -> bool {
        recording.is_some_and(|recording| Arc::ptr_eq(recording, &self.recording))
    }

    /// Takes down one execution.
    pub(super) fn record(&self, runner: &Runner, job: &Job, execution: &Execution) {
        if self.recording.is_closed() {
            // The next event gets an instance that is not recorded.
            runner.versions.recheck_instances();
        }
        let device = job.device.as_ref().map(|device| &device.name);
        let asked = self.recorder.take();
        if !self.recording.execution(self.instance, &job.event, (device, job.attempt), asked, execution) {
            runner.context.metrics.limit(names::RECORDING_QUEUE_BYTES);
        }
    }
}

/// Starts an instance of the version, and records it if the plugin is recorded.
pub(super) async fn start(
    runner: &Arc<Runner>,
    version: &Arc<Version>,
    recording: Option<Arc<Recording>>,
) -> Result<(Instance, Option<RecordedInstance>), CallError> {
    let host = PluginHost::of(runner);
    let Some(recording) = recording else {
        return Ok((version.component.start(version.setup.clone(), host).await?, None));
    };
    let recorder = Arc::new(Recorder::new(host));
    let time_ms = clock::now_ms();
    let started = version.component.start_at(version.setup.clone(), recorder.clone(), time_ms).await?;
    let instance = recording.start(&version.id, |number| line(version, number), time_ms, recorder.take());
    Ok((started, Some(RecordedInstance { recording, recorder, instance })))
}

fn line(version: &Version, number: u32) -> VersionLine {
    VersionLine {
        version: number,
        digest: version.digest.to_string(),
        settings: version.setup.settings.clone(),
        asks: version.description.grants.clone(),
        granted: version.granted.clone(),
        limits: version.setup.limits.clone(),
        masked: false,
    }
}
