//! Replays a recording with a component: each event is handled again in the recorded world, and its effects
//! and outcome are compared with the recorded ones.

use std::{
    collections::{HashMap, VecDeque},
    io::BufRead,
    sync::Arc,
};

use serde::Serialize;

use switchbox_model::{InvalidName, PluginName};
use switchbox_plugin_runtime::{
    Call, CallError, Component, EffectiveGrants, Instance, PluginSettings, Setup, host::HostCalls,
};

use crate::{
    compare,
    effect::{OutcomeLine, effects_of},
    event::SandboxEvent,
    recorded::{RecordedWorld, shared},
    recording::{ExecutionLine, Line, ReadError, Reader, StartLine, VersionLine},
};

/// The component to replay a recording with, and its settings.
pub struct ReplayRequest {
    pub component: Component,
    /// Settings that replace the recorded ones.
    pub settings: Option<PluginSettings>,
}

/// The difference of one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The line in the recording.
    pub line: u64,
    /// The event's number.
    pub event: u64,
    pub device: String,
    /// The differences, in the order of the effects.
    pub differs: Vec<String>,
    /// Whether values in this line of the recording are masked.
    pub masked: bool,
}

/// The result of a replay.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    pub plugin: String,
    /// The component that was recorded last.
    pub digest: String,
    pub executions: u64,
    pub different: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// Executions that the recording left out.
    pub skipped: u64,
    /// Whether the recording's last line is incomplete.
    pub cut_off: bool,
}

/// Differences that are reported in detail.
const MAX_DIFFERENCES: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("{0}")]
    Component(#[from] CallError),
    #[error("line {line}: {text}")]
    Line { line: u64, text: String },
}

/// Instances at the same time. A plugin with few events starts a new worker, and so a new instance, for most of them.
const MAX_INSTANCES: usize = 64;

struct Running {
    /// `None` if it was dropped because of [`MAX_INSTANCES`]. A new one is started if the recording continues with it.
    instance: Option<Instance>,
    /// Whether it has handled an event since it was last considered for dropping.
    used: bool,
    world: Arc<RecordedWorld>,
    start: StartLine,
    setup: Arc<Setup>,
}

struct Replay {
    request: ReplayRequest,
    plugin: PluginName,
    versions: HashMap<u32, (Arc<Setup>, bool)>,
    running: HashMap<u32, Running>,
    /// The numbers of the running instances, the oldest first.
    held: VecDeque<u32>,
    result: Replayed,
}

/// Replays the whole recording.
///
/// # Errors
///
/// The recording cannot be read, or the component does not start.
pub async fn replay(from: impl BufRead, request: ReplayRequest) -> Result<Replayed, Error> {
    let mut reader = Reader::new(from)?;
    let plugin = PluginName::new(&reader.plugin)?;
    let result = Replayed { plugin: reader.plugin.clone(), ..Replayed::default() };
    let mut replay =
        Replay { request, plugin, versions: HashMap::new(), running: HashMap::new(), held: VecDeque::new(), result };
    while let Some(line) = reader.next_line()? {
        let at = reader.line();
        match line {
            Line::Version(version) => replay.version(version, at).await?,
            Line::Start(start) => replay.start(start, at).await?,
            Line::Execution(execution) => replay.execution(*execution, at).await?,
            Line::Gap { skipped } => replay.result.skipped += skipped,
            Line::Recording { .. } | Line::End { .. } | Line::Other => {}
        }
    }
    replay.result.cut_off = reader.cut_off;
    Ok(replay.result)
}

impl Replay {
    async fn version(&mut self, line: VersionLine, at: u64) -> Result<(), Error> {
        let recorded_grants = line.granted.clone();
        let (settings, granted, limits) = match &self.request.settings {
            Some(new) => {
                let text = new.settings.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
                (text, new.grants.clone(), new.limits.clone())
            }
            None => (line.settings, line.granted, line.limits),
        };
        let description = self.request.component.describe(&settings).await?;
        let wrong = |text| Error::Line { line: at, text };
        let grants = EffectiveGrants::new(&description.grants, granted.as_ref()).map_err(wrong)?;
        // Lists contain only what the recorded plugin was allowed to read.
        let other_reads = description.grants != line.asks || granted != recorded_grants;
        let setup = Setup { name: self.plugin.clone(), settings, limits, grants };
        self.versions.insert(line.version, (Arc::new(setup), other_reads));
        self.result.digest = line.digest;
        Ok(())
    }

    async fn start(&mut self, start: StartLine, at: u64) -> Result<(), Error> {
        let missing = || Error::Line { line: at, text: format!("version {} is not in the file", start.version) };
        let (setup, other_reads) = self.versions.get(&start.version).cloned().ok_or_else(missing)?;
        let (world, host) = shared(other_reads);
        let instance = Some(self.begin(&setup, &world, host, &start).await?);
        self.insert_instance(start.instance);
        self.running.insert(start.instance, Running { instance, used: false, world, start, setup });
        Ok(())
    }

    /// Adds an instance. If there are too many, drops the one that has been idle for longest.
    fn insert_instance(&mut self, number: u32) {
        self.held.push_back(number);
        while self.held.len() > MAX_INSTANCES {
            let Some(oldest) = self.held.pop_front() else { return };
            let Some(running) = self.running.get_mut(&oldest) else { continue };
            if std::mem::take(&mut running.used) {
                self.held.push_back(oldest);
            } else {
                running.instance = None;
            }
        }
    }

    async fn begin(
        &self,
        setup: &Arc<Setup>,
        world: &RecordedWorld,
        host: Arc<dyn HostCalls>,
        start: &StartLine,
    ) -> Result<Instance, Error> {
        world.begin(start.calls.clone());
        let instance = self.request.component.start_at(setup.clone(), host, start.time_ms).await?;
        let _ = world.end();
        Ok(instance)
    }

    async fn execution(&mut self, line: ExecutionLine, at: u64) -> Result<(), Error> {
        let number = line.instance;
        let wrong = |text: String| Error::Line { line: at, text };
        let missing = || wrong(format!("instance {number} is not in the file"));
        let mut running = self.running.remove(&number).ok_or_else(missing)?;
        running.used = true;
        let mut instance = match running.instance.take().filter(|good| !good.poisoned()) {
            Some(good) => good,
            None => {
                // The recording continues with this instance, so a new one is started for it.
                self.held.retain(|held| *held != number);
                self.insert_instance(number);
                let host: Arc<dyn HostCalls> = running.world.clone();
                self.begin(&running.setup, &running.world, host, &running.start).await?
            }
        };
        let ExecutionLine { event, calls, effects, outcome, masked, .. } = line;
        let SandboxEvent { event: sandbox_event, device, attempt } = event.for_sandbox(&self.plugin)?;
        running.world.begin(calls);
        let execution = instance.handle(Call { event: &sandbox_event, device: device.as_ref(), attempt }).await;
        running.instance = Some(instance);
        let compared = running.world.end();
        let mut differs = Vec::new();
        match compared.unanswered {
            Some(unanswered) => differs.push(unanswered),
            None => {
                let now = effects_of(&execution, &|num| running.world.name(num));
                differs.extend(compare::effects(&effects, &now).iter().map(ToString::to_string));
                differs.extend(compare::outcomes(&outcome, &OutcomeLine::of(&execution.verdict)));
                differs.extend(compared.not_called.iter().map(|call| format!("{call} is not called any more")));
            }
        }
        self.result.executions += 1;
        if !differs.is_empty() {
            self.result.different += 1;
            if self.result.differences.len() < MAX_DIFFERENCES {
                let difference = Difference { line: at, event: event.number, device: event.device, differs, masked };
                self.result.differences.push(difference);
            }
        }
        self.running.insert(number, running);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
