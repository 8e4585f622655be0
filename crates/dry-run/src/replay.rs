//! Replays a recording: each event is handled again in the recorded world, and its effects and outcome are compared with the recorded
//! ones.

use std::{
    collections::{HashMap, VecDeque},
    io::BufRead,
    sync::Arc,
};

use switchbox_model::{InvalidName, PluginName};
use switchbox_plugin_runtime::{Call, CallError, Instance, PluginSettings, host::HostCalls};

use crate::{
    compare,
    effect::{OutcomeLine, effects_of},
    event::SandboxEvent,
    offline,
    recorded::{RecordedWorld, shared},
    recording::{ExecutionLine, Line, ReadError, Reader, StartLine, VersionLine},
    replay_result::{Difference, Replayed},
    replay_version::{Components, ReplayVersion, VersionError},
};

/// What a recording is replayed with.
pub struct ReplayRequest {
    pub components: Components,
    /// Settings that replace the recorded ones.
    pub settings: Option<PluginSettings>,
    /// The first executions, which are replayed and not compared.
    pub not_compared: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("{0}")]
    Component(#[from] CallError),
    #[error(transparent)]
    Load(#[from] offline::Error),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error("line {line}: {text}")]
    Line { line: u64, text: String },
}

/// Instances at the same time. A plugin with few events starts a new worker, and so a new instance, for most of them.
const MAX_INSTANCES: usize = 64;

/// What is said of an event that the host would not give to the plugin.
const NOT_TRIGGERED: &str = "its triggers do not match";

struct Running {
    /// `None` if it was dropped because of [`MAX_INSTANCES`]. A new one is started if the recording continues with it.
    instance: Option<Instance>,
    /// Whether it has handled an event since it was started.
    has_memory: bool,
    /// It was dropped after it had handled an event.
    dropped: bool,
    /// It was started again, without what it had in its memory.
    restarted: bool,
    /// It asked for something at its start that the recording does not hold, so its events are not replayed.
    started_otherwise: bool,
    world: Arc<RecordedWorld>,
    start: StartLine,
    version: Arc<ReplayVersion>,
}

/// A version of the recording.
#[derive(Clone)]
enum Version {
    Found(Arc<ReplayVersion>),
    /// Its component, which has this digest, is not here.
    Missing(Arc<str>),
}

struct Replay {
    request: ReplayRequest,
    plugin: PluginName,
    versions: HashMap<u32, Version>,
    running: HashMap<u32, Running>,
    /// The numbers of the running instances, the one that has been idle for longest first.
    held: VecDeque<u32>,
    /// The instances of missing versions, each with the digest of its component.
    missing: HashMap<u32, Arc<str>>,
    /// Executions so far, with those that are not compared.
    handled: u64,
    result: Replayed,
}

/// Replays the whole recording.
///
/// # Errors
///
/// The recording cannot be read, or a component does not start with its settings.
pub async fn replay(from: impl BufRead, request: ReplayRequest) -> Result<Replayed, Error> {
    let mut reader = Reader::new(from)?;
    let plugin = PluginName::new(&reader.plugin)?;
    let result = Replayed { plugin: reader.plugin.clone(), from_journal: reader.from_journal, ..Replayed::default() };
    let mut replay = Replay {
        request,
        plugin,
        versions: HashMap::new(),
        running: HashMap::new(),
        held: VecDeque::new(),
        missing: HashMap::new(),
        handled: 0,
        result,
    };
    while let Some(line) = reader.next_line()? {
        let at = reader.line();
        match line {
            Line::Version(version) => replay.version(version).await?,
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
    async fn version(&mut self, line: VersionLine) -> Result<(), Error> {
        let version = match self.request.components.component(self.plugin.as_str(), &line.digest).await? {
            Some(component) => {
                let new = self.request.settings.as_ref();
                Version::Found(Arc::new(ReplayVersion::new(&self.plugin, component, new, &line).await?))
            }
            None => Version::Missing(line.digest.as_str().into()),
        };
        self.versions.insert(line.version, version);
        self.result.digest = line.digest;
        Ok(())
    }

    async fn start(&mut self, start: StartLine, at: u64) -> Result<(), Error> {
        let number = start.instance;
        let missing = || Error::Line { line: at, text: format!("version {} is not in the file", start.version) };
        let version = match self.versions.get(&start.version).cloned().ok_or_else(missing)? {
            Version::Found(version) => version,
            Version::Missing(digest) => {
                self.running.remove(&number);
                self.missing.insert(number, digest);
                return Ok(());
            }
        };
        let (world, host) = shared(version.other_reads, self.result.from_journal);
        let (instance, unanswered) = begin(&version, &world, host, &start).await?;
        let started_otherwise = unanswered.is_some();
        if let Some(unanswered) = unanswered {
            self.result.add(Difference { line: at, differs: vec![unanswered], ..Difference::default() });
        }
        self.missing.remove(&number);
        self.hold(number);
        let (has_memory, dropped, restarted) = (false, false, false);
        let running = Running { instance, has_memory, dropped, restarted, started_otherwise, world, start, version };
        self.running.insert(number, running);
        Ok(())
    }

    /// Notes that an instance is used. If there are too many, drops the one that has been idle for longest.
    fn hold(&mut self, number: u32) {
        if self.held.back() == Some(&number) {
            return;
        }
        self.held.retain(|held| *held != number);
        while self.held.len() >= MAX_INSTANCES {
            let Some(oldest) = self.held.pop_front() else { break };
            if let Some(running) = self.running.get_mut(&oldest)
                && running.instance.take().is_some()
            {
                running.dropped = std::mem::take(&mut running.has_memory);
            }
        }
        self.held.push_back(number);
    }

    async fn execution(&mut self, line: ExecutionLine, at: u64) -> Result<(), Error> {
        let number = line.instance;
        self.handled += 1;
        let is_compared = self.handled > self.request.not_compared;
        if let Some(digest) = self.missing.get(&number) {
            if is_compared {
                self.result.add_not_replayed(digest);
            }
            return Ok(());
        }
        let missing = || Error::Line { line: at, text: format!("instance {number} is not in the file") };
        let mut running = self.running.remove(&number).ok_or_else(missing)?;
        let (event, device, masked) = (line.event.number, line.event.device.to_string(), line.masked);
        let given = line.event.for_sandbox(&self.plugin)?;
        let is_triggered = running.version.gets(&given);
        let differs = if running.started_otherwise {
            // The difference of its start says why.
            Vec::new()
        } else if is_triggered {
            self.handle(&mut running, given, line).await?
        } else {
            vec![NOT_TRIGGERED.to_owned()]
        };
        if is_compared {
            self.result.executions += 1;
            self.result.different += u64::from(running.started_otherwise || !differs.is_empty());
            self.result.not_triggered += u64::from(!running.started_otherwise && !is_triggered);
            if !differs.is_empty() {
                let restarted = running.restarted;
                self.result.add(Difference { line: at, event, device, differs, masked, restarted });
            }
        }
        self.running.insert(number, running);
        Ok(())
    }

    /// Gives the event to the instance. Returns the differences.
    async fn handle(
        &mut self,
        running: &mut Running,
        given: SandboxEvent,
        line: ExecutionLine,
    ) -> Result<Vec<String>, Error> {
        self.hold(line.instance);
        let mut instance = match running.instance.take().filter(|usable| !usable.poisoned()) {
            Some(usable) => usable,
            None => {
                // The recording continues with this instance, so a new one is started for it.
                if std::mem::take(&mut running.dropped) {
                    running.restarted = true;
                    self.result.restarted += 1;
                }
                let host: Arc<dyn HostCalls> = running.world.clone();
                match begin(&running.version, &running.world, host, &running.start).await? {
                    (Some(new), _) => new,
                    (None, unanswered) => return Ok(unanswered.into_iter().collect()),
                }
            }
        };
        let ExecutionLine { calls, effects, outcome, .. } = line;
        let SandboxEvent { event, device, attempt } = given;
        running.world.begin(calls);
        let execution = instance.handle(Call { event: &event, device: device.as_ref(), attempt }).await;
        running.instance = Some(instance);
        running.has_memory = true;
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

/// Starts an instance. Returns also the first call at its start that is not in the recording; it may be why there is no instance.
async fn begin(
    version: &ReplayVersion,
    world: &RecordedWorld,
    host: Arc<dyn HostCalls>,
    start: &StartLine,
) -> Result<(Option<Instance>, Option<String>), Error> {
    world.begin(start.calls.clone());
    let started = version.component.start_at(version.setup.clone(), host, start.time_ms).await;
    match (started, world.end().unanswered) {
        (Ok(instance), unanswered) => Ok((Some(instance), unanswered)),
        (Err(_), Some(unanswered)) => Ok((None, Some(unanswered))),
        (Err(error), None) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
