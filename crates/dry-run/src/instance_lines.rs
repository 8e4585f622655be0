//! The executions of one instance on their way into its recording. Their lines are made for several events at once, when the worker has
//! handled those that it took together: what a line takes is then in the processor's caches, and the events do not wait for it.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    call::HostCall,
    effect::{EffectLine, OutcomeLine, add_lines},
    event::EventLine,
    recorder::RecordedCalls,
    recording::{ExecutionLine, VersionLine},
    sink::Recording,
};
use switchbox_model::{DeviceName, Event};
use switchbox_plugin_runtime::Execution;

/// Bytes of an execution of which a worker makes the line. The writer makes longer ones, which takes a worker too long.
const SHORT_BYTES: u64 = 8 * 1024;
/// Bytes of executions, roughly, of which the lines are made at once.
const TOGETHER_BYTES: u64 = 32 * 1024;

/// An execution that took this long is queued at once with those before it, so that a slow plugin's are in the file soon.
const SLOW: Duration = Duration::from_millis(1);

/// The executions of an instance that is recorded. Those that are not queued for the file yet are queued when it is dropped.
pub struct InstanceLines {
    recording: Arc<Recording>,
    /// The instance's number in the recording.
    instance: u32,
    /// In the order of the events, each with its bytes.
    pending: Vec<(ExecutionLine, u64)>,
    pending_bytes: u64,
    /// Memory for the next lines, for the search for secrets in them, and for their calls and effects.
    text: Vec<u8>,
    documents: Vec<u8>,
    empty: Vec<(Vec<HostCall>, Vec<EffectLine>)>,
}

impl InstanceLines {
    /// Records the start of a new instance of the version `id`, with its calls.
    #[must_use]
    pub fn begin(
        recording: Arc<Recording>,
        id: &str,
        version: impl FnOnce(u32) -> VersionLine,
        time_ms: u64,
        calls: RecordedCalls,
    ) -> Self {
        let instance = recording.start(id, version, time_ms, calls);
        Self::new(recording, instance)
    }

    pub(crate) fn new(recording: Arc<Recording>, instance: u32) -> Self {
        let (pending, text, documents, empty) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { recording, instance, pending, pending_bytes: 0, text, documents, empty }
    }

    #[must_use]
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// Records an execution. Returns false if it, or an earlier one, is left out because the writer's queue is full. The calls are
    /// moved out of `calls`.
    pub fn push(
        &mut self,
        event: &Event,
        (device, attempt): (Option<&DeviceName>, u32),
        calls: &mut RecordedCalls,
        execution: &Execution,
    ) -> bool {
        if calls.too_large {
            let queued = self.flush();
            self.recording.count_left_out(1);
            return queued && self.recording.is_closed();
        }
        let bytes = weight(event, calls, execution);
        let (empty_calls, empty_effects) = self.empty.pop().unwrap_or_default();
        let line = line(self.instance, EventLine::of(event, device, attempt), calls, empty_effects, execution);
        calls.calls = empty_calls;
        self.pending.push((line, bytes));
        self.pending_bytes += bytes;
        let is_quick = execution.guest_time + execution.awaited < SLOW;
        (is_quick && self.pending_bytes < TOGETHER_BYTES) || self.flush()
    }

    /// Queues what is recorded for the file. Returns false if an execution is left out because the writer's queue is full. Then all that
    /// follow it are left out too: an instance has no gap in a recording.
    pub fn flush(&mut self) -> bool {
        self.pending_bytes = 0;
        if self.pending.is_empty() || self.recording.is_closed() {
            self.pending.clear();
            return true;
        }
        let (shared, mut pending) = (Arc::clone(&self.recording.shared), std::mem::take(&mut self.pending));
        let short = pending.iter_mut().filter(|(_, bytes)| *bytes <= SHORT_BYTES).map(|(line, _)| line);
        let may_mask = shared.masks.may_mask_any(short, &mut self.documents);
        let (mut left_out, mut in_text) = (0, 0);
        self.text.clear();
        for (mut line, bytes) in pending.drain(..) {
            if left_out > 0 {
                left_out += 1;
            } else if bytes > SHORT_BYTES || may_mask && shared.masks.may_mask(&mut line) {
                // The lines stay in their order.
                left_out += shared.queue.push_lines(&mut self.text, &mut in_text);
                left_out += u64::from(left_out > 0 || !shared.queue.push_execution(line, bytes));
            } else {
                line.append_to(&mut self.text);
                in_text += 1;
                line.calls.clear();
                line.effects.clear();
                self.empty.push((line.calls, line.effects));
            }
        }
        left_out += shared.queue.push_lines(&mut self.text, &mut in_text);
        self.pending = pending;
        self.recording.count_left_out(left_out);
        left_out == 0
    }
}

impl Drop for InstanceLines {
    fn drop(&mut self) {
        // What is left out is counted, and no execution of this instance follows.
        self.flush();
    }
}

impl fmt::Debug for InstanceLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceLines").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// Bytes that an execution takes in the queue, roughly.
fn weight(event: &Event, calls: &RecordedCalls, execution: &Execution) -> u64 {
    const EXECUTION_BYTES: usize = 512;
    const CALL_BYTES: usize = 512;
    let effects = execution.effects.iter().map(|effect| CALL_BYTES + effect.payload_bytes()).sum::<usize>();
    let write = |value: &Option<bytes::Bytes>| CALL_BYTES + value.as_ref().map_or(0, bytes::Bytes::len);
    let writes = execution.kv.iter().map(|change| write(&change.value)).sum::<usize>();
    let logs = execution.logs.iter().map(String::len).sum::<usize>();
    let answers = calls.calls.len() * CALL_BYTES + calls.bytes;
    (EXECUTION_BYTES + event.data.payload().len() + answers + effects + writes + logs) as u64
}

/// The calls are moved out of `calls`. `effects` is memory for those of the line.
pub(crate) fn line(
    instance: u32,
    event: EventLine,
    calls: &mut RecordedCalls,
    mut effects: Vec<EffectLine>,
    execution: &Execution,
) -> ExecutionLine {
    add_lines(&mut effects, &execution.effects, &execution.kv, &|num| calls.names.short(num));
    ExecutionLine {
        instance,
        event,
        effects,
        calls: std::mem::take(&mut calls.calls),
        outcome: OutcomeLine::of(&execution.verdict),
        logs: execution.logs.clone(),
        guest_us: u64::try_from(execution.guest_time.as_micros()).unwrap_or(u64::MAX),
        masked: false,
    }
}
