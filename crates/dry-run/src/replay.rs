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
    /// The first executions, which are replayed and not compared.
    pub not_compared: u64,
}

/// The difference of one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The line in the recording.
    pub line: u64,
    /// The event's number; 0 for the start of an instance.
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
    /// Executions that were compared.
    pub executions: u64,
    pub different: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// Executions that the recording left out.
    pub skipped: u64,
    /// Whether the recording's last line is incomplete.
    pub cut_off: bool,
    /// The recording is made of the journal, so it has no calls of the host.
    pub from_journal: bool,
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
    /// It asked for something at its start that the recording does not hold, so its events are not replayed.
    started_otherwise: bool,
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
    /// Executions so far, with those that are not compared.
    handled: u64,
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
    let result = Replayed { plugin: reader.plugin.clone(), from_journal: reader.from_journal, ..Replayed::default() };
    let (versions, running, held) = (HashMap::new(), HashMap::new(), VecDeque::new());
    let mut replay = Replay { request, plugin, versions, running, held, handled: 0, result };
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
        let description = self.request.component.describe(&settings, &limits).await?;
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
        let (world, host) = shared(other_reads, self.result.from_journal);
        let (instance, unanswered) = self.begin(&setup, &world, host, &start).await?;
        let started_otherwise = unanswered.is_some();
        if let Some(unanswered) = unanswered {
            let device = String::new();
            self.note(Difference { line: at, event: 0, device, differs: vec![unanswered], masked: false });
        }
        self.insert_instance(start.instance);
        self.running.insert(start.instance, Running { instance, used: false, started_otherwise, world, start, setup });
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

    /// Starts an instance. Returns also the first call at its start that is not in the recording; it may be why there is no instance.
    async fn begin(
        &self,
        setup: &Arc<Setup>,
        world: &RecordedWorld,
        host: Arc<dyn HostCalls>,
        start: &StartLine,
    ) -> Result<(Option<Instance>, Option<String>), Error> {
        world.begin(start.calls.clone());
        let started = self.request.component.start_at(setup.clone(), host, start.time_ms).await;
        match (started, world.end().unanswered) {
            (Ok(instance), unanswered) => Ok((Some(instance), unanswered)),
            (Err(_), Some(unanswered)) => Ok((None, Some(unanswered))),
            (Err(error), None) => Err(error.into()),
        }
    }

    fn note(&mut self, difference: Difference) {
        if self.result.differences.len() < MAX_DIFFERENCES {
            self.result.differences.push(difference);
        }
    }

    async fn execution(&mut self, line: ExecutionLine, at: u64) -> Result<(), Error> {
        let number = line.instance;
        let missing = || Error::Line { line: at, text: format!("instance {number} is not in the file") };
        let mut running = self.running.remove(&number).ok_or_else(missing)?;
        running.used = true;
        let (event, device, masked) = (line.event.number, line.event.device.clone(), line.masked);
        // The difference of its start says why.
        let differs = if running.started_otherwise { Vec::new() } else { self.handle(&mut running, line).await? };
        self.handled += 1;
        if self.handled > self.request.not_compared {
            self.result.executions += 1;
            self.result.different += u64::from(running.started_otherwise || !differs.is_empty());
            if !differs.is_empty() {
                self.note(Difference { line: at, event, device: device.to_string(), differs, masked });
            }
        }
        self.running.insert(number, running);
        Ok(())
    }

    /// Gives the event to the instance. Returns the differences.
    async fn handle(&mut self, running: &mut Running, line: ExecutionLine) -> Result<Vec<String>, Error> {
        let mut instance = match running.instance.take().filter(|good| !good.poisoned()) {
            Some(good) => good,
            None => {
                // The recording continues with this instance, so a new one is started for it.
                self.held.retain(|held| *held != line.instance);
                self.insert_instance(line.instance);
                let host: Arc<dyn HostCalls> = running.world.clone();
                match self.begin(&running.setup, &running.world, host, &running.start).await? {
                    (Some(new), _) => new,
                    (None, unanswered) => return Ok(unanswered.into_iter().collect()),
                }
            }
        };
        let ExecutionLine { event, calls, effects, outcome, .. } = line;
        let SandboxEvent { event: sandbox_event, device, attempt } = event.for_sandbox(&self.plugin)?;
        running.world.begin(calls);
        let execution = instance.handle(Call { event: &sandbox_event, device: device.as_ref(), attempt }).await;
        running.instance = Some(instance);
        let compared = running.world.end();
        if let Some(unanswered) = compared.unanswered {
            return Ok(vec![unanswered]);
        }
        let now = effects_of(&execution, &|num| running.world.name(num));
        let mut differs: Vec<_> = compare::effects(&effects, &now).iter().map(ToString::to_string).collect();
        differs.extend(self.outcomes(&outcome, &OutcomeLine::of(&execution.verdict)));
        differs.extend(compared.not_called.iter().map(|call| format!("{call} is not called any more")));
        Ok(differs)
    }

    /// The journal has one outcome for all executions that were given up.
    fn outcomes(&self, was: &OutcomeLine, is: &OutcomeLine) -> Option<String> {
        let given_up = |outcome: &OutcomeLine| *outcome != OutcomeLine::Done;
        if self.result.from_journal && given_up(was) && given_up(is) { None } else { compare::outcomes(was, is) }
    }
}

#[cfg(test)]
mod tests;
