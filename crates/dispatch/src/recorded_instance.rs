//! An instance whose calls to the host are recorded, because its plugin is being recorded or has a shadow. An instance is recorded
//! from its start on and without a gap, so that a replay has what its guest keeps in memory. Where a recording begins or ends, and after
//! executions that were left out of it, workers start new instances.

use std::sync::Arc;

use super::{host::PluginHost, queue::Job, runner::Runner, version::Version};
use switchbox_dry_run::{
    instance_lines::InstanceLines,
    recorder::{RecordedCalls, Recorder},
    recording::{TriggersLine, VersionLine},
    sink::Recording,
};
use switchbox_model::limits::names;
use switchbox_plugin_runtime::{CallError, Execution, Instance};
use switchbox_support::clock;

/// An instance whose calls to the host are recorded.
pub(super) struct RecordedInstance {
    recorder: Arc<Recorder>,
    /// `None` if there is only a shadow.
    lines: Option<InstanceLines>,
    /// The recording does not take the next execution.
    left_out: bool,
    /// The recording lacks an execution of this instance.
    has_gap: bool,
    /// The calls of the last execution: memory for the next.
    calls: RecordedCalls,
}

impl RecordedInstance {
    /// Called before each execution. If the recording does not take it, its calls are recorded only if a shadow needs them.
    pub(super) fn begin(&mut self, runner: &Runner) {
        let Some(lines) = &self.lines else { return };
        // After a gap also if there is room again, which may come between `is_incomplete` and this.
        self.left_out = !lines.recording().takes_next(self.has_gap);
        if self.left_out {
            runner.context.metrics.limit(names::RECORDING_QUEUE_BYTES);
        }
        self.recorder.set_recording(!self.left_out || runner.shadow().is_some());
    }

    /// Whether another instance is needed, because this one has a gap and the recording has room again: the guest's memory depends on an
    /// execution that is not in the recording. While there is no room the instance is used further.
    pub(super) fn is_incomplete(&self) -> bool {
        self.has_gap && self.lines.as_ref().is_some_and(|lines| lines.recording().may_have_room())
    }

    /// Whether the instance's calls are recorded for the recording, or for a shadow if there is no recording.
    pub(super) fn is_of(&self, recording: Option<&Arc<Recording>>, has_shadow: bool) -> bool {
        match (&self.lines, recording) {
            (Some(lines), Some(recording)) => Arc::ptr_eq(lines.recording(), recording),
            (None, None) => has_shadow,
            _ => false,
        }
    }

    /// Records one execution. Returns its calls, for a shadow.
    pub(super) fn record(&mut self, runner: &Runner, job: &Job, execution: &Execution) -> RecordedCalls {
        let methods = runner.shadow().map(|_| execution.calls.clone());
        let Some(lines) = &mut self.lines else {
            return RecordedCalls { methods, ..self.recorder.take() };
        };
        let mut recorded_calls = self.recorder.take_into(std::mem::take(&mut self.calls));
        if lines.recording().is_closed() {
            // The next event gets an instance that is not recorded.
            runner.versions.recheck_instances();
        }
        if self.left_out {
            self.has_gap = true;
            return RecordedCalls { methods, ..recorded_calls };
        }
        let device = job.device.as_ref().map(|device| &device.name);
        let for_shadow = match methods {
            Some(_) => RecordedCalls { methods, ..recorded_calls.clone() },
            None => RecordedCalls::default(),
        };
        let is_complete = lines.push(&job.event, (device, job.attempt), &mut recorded_calls, execution);
        self.calls = recorded_calls;
        self.note_gap(runner, is_complete);
        for_shadow
    }

    /// Called when the events that a worker took together are handled: their lines go to the recording.
    pub(super) fn flush(&mut self, runner: &Runner) {
        let is_complete = self.lines.as_mut().is_none_or(InstanceLines::flush);
        self.note_gap(runner, is_complete);
    }

    fn note_gap(&mut self, runner: &Runner, is_complete: bool) {
        if !is_complete {
            self.has_gap = true;
            runner.context.metrics.limit(names::RECORDING_QUEUE_BYTES);
        }
    }
}

/// Starts an instance of the version, and records its calls if the plugin is being recorded or has a shadow.
pub(super) async fn start(
    runner: &Arc<Runner>,
    version: &Arc<Version>,
    recording: Option<Arc<Recording>>,
    has_shadow: bool,
) -> Result<(Instance, Option<RecordedInstance>), CallError> {
    let host = PluginHost::of(runner, version);
    if recording.is_none() && !has_shadow {
        return Ok((version.component.start(version.setup.clone(), host).await?, None));
    }
    let recorder = Arc::new(Recorder::new(host));
    let time_ms = clock::now_ms();
    let started = version.component.start_at(version.setup.clone(), recorder.clone(), time_ms).await?;
    let recorded_calls = recorder.take();
    let lines = recording.map(|recording| {
        InstanceLines::begin(recording, &version.id, |number| line(version, number), time_ms, recorded_calls)
    });
    let calls = RecordedCalls::default();
    Ok((started, Some(RecordedInstance { recorder, lines, left_out: false, has_gap: false, calls })))
}

/// The line of a recording that describes the version.
fn line(version: &Version, number: u32) -> VersionLine {
    VersionLine {
        version: number,
        digest: version.digest.to_string(),
        settings: version.setup.settings.clone(),
        asks: version.description.grants.clone(),
        granted: version.granted.clone(),
        limits: version.setup.limits.clone(),
        triggers: Some(TriggersLine::of(version.triggers_set.then_some(&version.trigger_list))),
        masked: false,
    }
}
