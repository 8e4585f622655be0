//! A recording that is made of the executions in the journal. The journal has events, effects and outcomes, and no calls of the host; that
//! a device exists which an effect is on follows from the effect. Pure.

use std::collections::BTreeSet;

use crate::{
    call::HostCall,
    effect::{self, OutcomeLine},
    event::EventLine,
    mask::{DEFAULT, Masks},
    names,
    recording::{ExecutionLine, FORMAT, Line, StartLine, TriggersLine, VersionLine},
};
use switchbox_model::{DeviceName, DeviceNum, Effect, Event, Handled, Outcome, PluginName, limits};
use switchbox_plugin_runtime::{KvChange, PluginSettings};
use switchbox_support::clock;

/// A version of the plugin that has run.
#[derive(Debug)]
pub struct RanVersion {
    /// `sha256:…` of the component.
    pub digest: String,
    /// When it came into force, each time, milliseconds since the Unix epoch.
    pub times_ms: Vec<u64>,
    pub settings: PluginSettings,
}

impl RanVersion {
    fn line(&self, version: u32) -> VersionLine {
        let settings = &self.settings;
        VersionLine {
            version,
            digest: self.digest.clone(),
            settings: settings.settings.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string),
            asks: Vec::new(),
            granted: settings.grants.clone(),
            limits: settings.limits.clone(),
            triggers: Some(TriggersLine::of(settings.triggers.as_deref())),
            masked: false,
        }
    }
}

/// Writes the lines.
#[derive(Debug)]
pub struct JournalLines {
    masks: Masks,
    /// Oldest first.
    versions: Vec<RanVersion>,
    /// The versions that have their lines, by their places in `versions`. Each has one instance, with the same number.
    written: Vec<usize>,
    executions: u64,
    skipped: u64,
    /// Skipped executions that no line mentions yet.
    gap: u64,
    /// The settings of the versions have more secrets than are remembered.
    too_many_secrets: bool,
    text: Vec<u8>,
}

impl JournalLines {
    /// Writes the first line. `mask`: patterns of secret keys, in addition to [`DEFAULT`].
    ///
    /// # Errors
    ///
    /// A pattern is not a valid glob.
    pub fn new(plugin: &PluginName, versions: Vec<RanVersion>, mask: &[String]) -> Result<Self, String> {
        let masks = Masks::new(mask)?;
        let (written, text) = (Vec::new(), Vec::new());
        let too_many_secrets = false;
        let mut lines = Self { masks, versions, written, executions: 0, skipped: 0, gap: 0, too_many_secrets, text };
        lines.write(&Line::Recording {
            format: FORMAT,
            plugin: plugin.to_string(),
            host: env!("CARGO_PKG_VERSION").into(),
            begin_ms: clock::now_ms(),
            mask: DEFAULT.into_iter().map(str::to_owned).chain(mask.iter().cloned()).collect(),
            from_journal: true,
        });
        Ok(lines)
    }

    /// Adds an execution. `event`: the event with the name of its device, if both are known. An execution of which something is not known
    /// any more is left out, and counted.
    pub fn add(
        &mut self,
        handled: &Handled,
        event: Option<(&Event, Option<&DeviceName>)>,
        name: &dyn Fn(DeviceNum) -> Option<DeviceName>,
    ) {
        let line = event.and_then(|(event, device)| {
            let version = self.version_of(&handled.digest, handled.time_ms)?;
            let line = execution(handled, event, device, name)?;
            Some((self.instance_of(version, line.event.time_ms)?, line))
        });
        let Some((instance, mut line)) = line else {
            self.skipped += 1;
            self.gap += 1;
            return;
        };
        self.write_gap();
        line.instance = instance;
        line.masked = self.masks.execution(&mut line);
        self.executions += 1;
        self.write(&Line::Execution(Box::new(line)));
    }

    /// Whether it has to end, because a version has more secrets than can be remembered with those of the others.
    #[must_use]
    pub fn has_too_many_secrets(&self) -> bool {
        self.too_many_secrets
    }

    /// Adds the last line.
    pub fn end(&mut self, why: String) {
        self.write_gap();
        let (executions, skipped) = (self.executions, self.skipped);
        self.write(&Line::End { why, executions, skipped });
    }

    /// Returns the lines since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    /// The version that had handled an event at this time: of those with this component, the one that came into force last before. A history
    /// has the newest times that a version came into force, and not all; so of several versions with this component it may be none.
    fn version_of(&self, digest: &str, time_ms: u64) -> Option<usize> {
        let of: Vec<_> = self.versions.iter().enumerate().filter(|(_, version)| version.digest == digest).collect();
        let since = |(at, version): &(usize, &RanVersion)| {
            let last = version.times_ms.iter().filter(|since_ms| **since_ms <= time_ms).max();
            last.map(|since_ms| (*since_ms, *at))
        };
        let in_force = of.iter().filter_map(since).max();
        let only = of.first().filter(|_| of.len() == 1 && self.versions.len() < limits::PLUGIN_VERSIONS);
        in_force.map(|(_, at)| at).or(only.map(|(at, _)| *at))
    }

    /// The number of the version's instance. Writes the lines of both where they are new. Returns `None` if there are too many secrets.
    fn instance_of(&mut self, version: usize, time_ms: u64) -> Option<u32> {
        let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        if let Some(at) = self.written.iter().position(|written| *written == version) {
            return Some(number(at));
        }
        let new = number(self.written.len());
        let mut line = self.versions.get(version)?.line(new);
        if self.masks.remember_version(&mut line).is_err() {
            self.too_many_secrets = true;
            return None;
        }
        line.masked = self.masks.version(&mut line);
        self.written.push(version);
        self.write_gap();
        self.write(&Line::Version(line));
        self.write(&Line::Start(StartLine { instance: new, version: new, time_ms, calls: Vec::new() }));
        Some(new)
    }

    fn write_gap(&mut self) {
        let skipped = std::mem::take(&mut self.gap);
        if skipped > 0 {
            self.write(&Line::Gap { skipped });
        }
    }

    fn write(&mut self, line: &Line) {
        line.append_to(&mut self.text);
    }
}

/// Returns `None` if a device of it is not known any more.
fn execution(
    handled: &Handled,
    event: &Event,
    device: Option<&DeviceName>,
    name: &dyn Fn(DeviceNum) -> Option<DeviceName>,
) -> Option<ExecutionLine> {
    if event.device.is_some() && device.is_none() {
        return None;
    }
    let (effects, outcome): (&[Effect], _) = match &handled.outcome {
        Outcome::Done { effects } => (effects, OutcomeLine::Done),
        Outcome::Dead { error, .. } => (&[], OutcomeLine::Failed(error.clone())),
    };
    let targets: BTreeSet<_> = effects.iter().filter_map(Effect::device).collect();
    let targets: Option<Vec<_>> = targets.into_iter().map(name).collect();
    let there = |name: DeviceName| HostCall::Has { device: names::short(&name), answer: true };
    let writes: Vec<_> = effects.iter().filter_map(write).collect();
    Some(ExecutionLine {
        instance: 0,
        event: EventLine::of(event, device, handled.attempt),
        calls: targets?.into_iter().map(there).collect(),
        effects: effect::lines(effects, &writes, name),
        outcome,
        logs: handled.logs.clone(),
        guest_us: handled.took_us.into(),
        masked: false,
    })
}

fn write(effect: &Effect) -> Option<KvChange> {
    let Effect::Kv(write) = effect else { return None };
    Some(KvChange { key: write.key.clone(), value: write.value.clone(), expected: None })
}

#[cfg(test)]
mod tests;
