//! Finds the links of a chain in the journal and among the documents.

use std::sync::Arc;

use super::{
    Error, Handle,
    chain::{Branch, ConfigStep, ExecutionStep, Explanation, Gone, Step},
    id::Id,
};
use crate::{journal::EventHistory, registry::Device, twin};
use switchbox_model::{
    CallRecord, Cause, DeviceNum, Effect, EffectKey, Event, EventData, Handled, Outcome, PluginName, Seq, limits,
};
use switchbox_store::{CommandDoc, ConfigVersion};

/// Links of a chain at most: causes that go round for ever end here.
const LONGEST: usize = 64;

impl Handle {
    /// Why it happened, and what came of it.
    pub async fn explain(&self, id: &Id) -> Result<Explanation, Error> {
        match id {
            Id::Event(seq) => self.event(*seq).await,
            Id::Execution { seq, plugin } => self.execution(*seq, plugin).await,
            Id::Config { device, version } => self.config(&self.device(device)?, *version).await,
            Id::Effect { seq, plugin, index } => self.effect(*seq, plugin, *index).await,
            Id::Call { seq, plugin, index } => self.call(*seq, plugin, *index).await,
            Id::Operators(id) => self.operators(id).await,
            Id::DeadLetter(id) => self.dead_letter(*id).await,
        }
    }

    async fn event(&self, seq: Seq) -> Result<Explanation, Error> {
        let mut story = self.journal.story(seq, None).await?;
        let Some(event) = story.event.take() else { return Err(Self::missing(format!("event {seq}"))) };
        let (mut branches, mut cut) = (Vec::new(), story.cut);
        for (index, execution) in story.handled.iter().enumerate() {
            let refused = was_refused(execution, story.handled.get(index + 1..).unwrap_or_default());
            branches.push(self.branch(execution.clone(), &story, refused).await?);
            if branches.iter().map(Branch::payload_bytes).sum::<usize>() > limits::EXPLANATION_BYTES {
                cut = true;
                break;
            }
        }
        Ok(Explanation { chain: self.until(event, story.by).await?, branches, cut })
    }

    async fn execution(&self, seq: Seq, plugin: &PluginName) -> Result<Explanation, Error> {
        let story = self.journal.story(seq, Some(plugin)).await?;
        let Some(handled) = story.handled.iter().rfind(|handled| handled.plugin == *plugin).cloned() else {
            return Err(Self::missing(format!("what plugin {plugin} made of event {seq}")));
        };
        let Branch { step, branches } = self.branch(handled, &story, false).await?;
        let mut chain = match story.event {
            Some(event) => self.until(event, story.by).await?,
            None => vec![Step::Gone(Gone::Event(seq))],
        };
        chain.push(step);
        Ok(Explanation { chain, branches, cut: false })
    }

    async fn config(&self, device: &Arc<Device>, version: Option<u64>) -> Result<Explanation, Error> {
        let versions = self.store.configs(device.num, limits::VERSIONS_KEPT).await?;
        let newest = versions.first().map_or(0, |newest| newest.version);
        let found = versions.into_iter().find(|config| version.is_none_or(|version| config.version == version));
        let Some(found) = found else {
            let what = version.map_or_else(|| "a config".to_owned(), |version| format!("config version {version}"));
            return Err(Self::missing(format!("{what} for {}", device.name)));
        };
        let mut chain = self.because(found.cause.clone()).await?;
        chain.push(Step::Config(Box::new(ConfigStep::new(found, newest))));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    /// Plugins' commands are effects too, and have the same ids.
    async fn effect(&self, seq: Seq, plugin: &PluginName, index: usize) -> Result<Explanation, Error> {
        let Explanation { mut chain, branches, cut } = match self.execution(seq, plugin).await {
            Ok(found) => found,
            // The journal no longer has the execution, but the command may still be there.
            Err(Error::NotFound(_)) => return self.command(&format!("{seq}.{plugin}.{index}")).await,
            Err(error) => return Err(error),
        };
        chain.extend(
            branches.iter().map(|branch| &branch.step).filter(|step| matches!(step, Step::HeldBack(_))).cloned(),
        );
        let mut effects =
            branches.into_iter().filter(|branch| !matches!(branch.step, Step::Call(_) | Step::HeldBack(_)));
        let Some(Branch { step, branches }) = effects.nth(index) else {
            return Err(Self::missing(format!("effect {index} of plugin {plugin} for event {seq}")));
        };
        chain.push(step);
        Ok(Explanation { chain, branches, cut })
    }

    async fn call(&self, seq: Seq, plugin: &PluginName, index: u32) -> Result<Explanation, Error> {
        let id = CallRecord::id_of(seq, plugin, index);
        let calls = self.journal.story(seq, None).await?.calls;
        // Each try of the event made it anew; the last one counts.
        let Some(call) = calls.into_iter().rfind(|call| call.id == id) else {
            return Err(Self::missing(format!("method call {id}")));
        };
        let mut chain = self.because(call.cause.clone()).await?;
        chain.push(Step::Call(Box::new(call)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    async fn operators(&self, id: &str) -> Result<Explanation, Error> {
        let Some(call) = self.store.call_record(id.to_owned()).await? else { return self.command(id).await };
        let mut chain = self.because(call.cause.clone()).await?;
        chain.push(Step::Call(Box::new(call)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    async fn command(&self, id: &str) -> Result<Explanation, Error> {
        let command = self.store.command_by_id(id.to_owned()).await?;
        let command = command.ok_or_else(|| Self::missing(format!("a command or a method call {id}")))?;
        let mut chain = self.because(command.cause.clone()).await?;
        chain.push(Step::Command(Box::new(command)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    async fn dead_letter(&self, id: u64) -> Result<Explanation, Error> {
        let letter = self.journal.dead_letter(id).await?;
        let letter = letter.ok_or_else(|| Self::missing(format!("dead letter {id}")))?;
        let by = self.journal.story(letter.event.seq, Some(&letter.plugin)).await?.by;
        let mut chain = self.until(letter.event.clone(), by).await?;
        chain.push(Step::DeadLetter(Box::new(letter)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    /// What came of an execution.
    async fn branch(&self, handled: Handled, story: &EventHistory, refused: bool) -> Result<Branch, Error> {
        let mut branches = Vec::new();
        let made = |call: &&CallRecord| is_of(&call.cause, &handled.plugin, handled.attempt);
        branches.extend(story.calls.iter().filter(made).map(|call| Step::Call(Box::new(call.clone())).into()));
        if refused {
            branches.push(Step::Refused.into());
        } else if let Outcome::Done { effects } = &handled.outcome {
            let held = story.held_back(&handled.plugin, handled.attempt);
            branches.extend(held.map(|held| Step::HeldBack(Box::new(held.clone())).into()));
            for (index, effect) in (0..).zip(effects) {
                branches.push(self.fate(&handled, index, effect).await?.into());
            }
        }
        Ok(Branch { step: Step::Execution(Box::new(handled.into())), branches })
    }

    /// What became of an effect.
    async fn fate(&self, handled: &Handled, index: u32, effect: &Effect) -> Result<Step, Error> {
        Ok(match effect {
            Effect::Config { device, .. }
            | Effect::ConfigForced { device, .. }
            | Effect::PatchDesired { device, .. } => {
                let versions = self.store.configs(*device, limits::VERSIONS_KEPT).await?;
                config_fate(versions, handled, (index, effect), *device)
            }
            Effect::Command { device, id, .. } => match self.command_of(*device, id).await? {
                Some(command) => Step::Command(Box::new(command)),
                None => Step::Gone(Gone::Command { device: *device, id: id.clone() }),
            },
            Effect::Kv(write) => Step::Kv(write.clone()),
            Effect::TimerSet(timer) => Step::TimerSet(timer.clone()),
            Effect::TimerCancel { name } => Step::TimerCancelled { name: name.clone() },
            Effect::Publish { topic, payload, .. } => {
                Step::Published { topic: topic.clone(), payload: payload.clone() }
            }
        })
    }

    async fn command_of(&self, device: DeviceNum, id: &str) -> Result<Option<CommandDoc>, Error> {
        Ok(self.store.command(device, id.to_owned()).await?)
    }

    /// What led to the event, and the event. `by`: the effect that it came of.
    async fn until(&self, event: Event, by: Option<EffectKey>) -> Result<Vec<Step>, Error> {
        let Before { mut steps, cause } = self.before(&event, by).await?;
        if let Some(cause) = cause {
            let mut chain = self.because(cause).await?;
            chain.append(&mut steps);
            steps = chain;
        }
        steps.push(Step::Event(Box::new(event)));
        Ok(steps)
    }

    /// What led to an effect, from where it began.
    async fn because(&self, cause: Cause) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        let mut next = Some(cause);
        let mut bytes = 0;
        while let Some(cause) = next.take() {
            if steps.len() >= LONGEST || bytes > limits::EXPLANATION_BYTES {
                steps.push(Step::Earlier);
                break;
            }
            match cause {
                Cause::Api { who } => steps.push(Step::Operator { who }),
                Cause::Plugin { seq, plugin, digest, attempt, .. } => {
                    let story = self.journal.story(seq, Some(&plugin)).await?;
                    let is_it = |handled: &Handled| handled.plugin == plugin && handled.attempt == attempt;
                    let held = story.held_back(&plugin, attempt);
                    steps.extend(held.map(|held| Step::HeldBack(Box::new(held.clone()))));
                    // A dead letter that was driven again has failed before under the same numbers.
                    let record = story.handled.into_iter().rfind(is_it);
                    bytes += record.iter().map(Handled::payload_bytes).sum::<usize>();
                    steps.push(Step::Execution(Box::new(ExecutionStep { seq, plugin, digest, attempt, record })));
                    let Some(event) = story.event else {
                        steps.push(Step::Gone(Gone::Event(seq)));
                        break;
                    };
                    let before = self.before(&event, story.by).await?;
                    bytes += event.data.payload().len();
                    steps.push(Step::Event(Box::new(event)));
                    steps.extend(before.steps.into_iter().rev());
                    next = before.cause;
                }
            }
        }
        steps.reverse();
        Ok(steps)
    }

    /// What an event came of, where the host itself brought it about.
    async fn before(&self, event: &Event, by: Option<EffectKey>) -> Result<Before, Error> {
        if let (EventData::CommandSettled { id, .. }, Some(device)) = (&event.data, event.device) {
            let Some(command) = self.command_of(device, id).await? else {
                return Ok(Before::from(Step::Gone(Gone::Command { device, id: id.clone() })));
            };
            let cause = Some(command.cause.clone());
            return Ok(Before { cause, ..Before::from(Step::Command(Box::new(command))) });
        }
        let Some(EffectKey { seq, plugin, index }) = by else { return Ok(Before::default()) };
        let story = self.journal.story(seq, Some(&plugin)).await?;
        // What failed and was tried again has the effects of the last try.
        let done = |handled: &Handled| handled.plugin == plugin && matches!(handled.outcome, Outcome::Done { .. });
        let Some(handled) = story.handled.into_iter().rfind(done) else {
            return Ok(Before::from(Step::Gone(Gone::Execution { seq, plugin })));
        };
        let Handled { digest, attempt, outcome, .. } = handled;
        let effect = match outcome {
            Outcome::Done { effects } => effects.into_iter().nth(usize::try_from(index).unwrap_or(usize::MAX)),
            Outcome::Dead { .. } => None,
        };
        let mut before =
            Before { cause: Some(Cause::Plugin { seq, plugin, digest, attempt, index }), ..Before::default() };
        // Of what was published the event says all that there is to say.
        if let Some(Effect::TimerSet(timer)) = effect {
            before.steps.push(Step::TimerSet(timer));
        }
        Ok(before)
    }
}

/// What became of a config effect. `versions`: those of the device that are kept, newest first.
fn config_fate(
    versions: Vec<ConfigVersion>,
    handled: &Handled,
    (index, effect): (u32, &Effect),
    device: DeviceNum,
) -> Step {
    let newest = versions.first().map_or(0, |newest| newest.version);
    // Which of the execution's effects made the version.
    let maker = |version: &ConfigVersion| match &version.cause {
        Cause::Plugin { seq, plugin, index, .. } => {
            (*seq == handled.seq && *plugin == handled.plugin).then_some(*index)
        }
        Cause::Api { .. } => None,
    };
    if let Some(version) = versions.iter().find(|version| maker(version) == Some(index)) {
        return Step::Config(Box::new(ConfigStep::new(version.clone(), newest)));
    }
    if versions.is_empty() && is_what_is_asked(b"", effect) {
        return Step::NothingToPatch { device };
    }
    // The one that was in force then. Those of the same millisecond may have come before or after.
    let (same_time, before): (Vec<_>, Vec<_>) = versions
        .into_iter()
        .filter(|version| version.time_ms <= handled.time_ms && maker(version).is_none_or(|maker| maker < index))
        .partition(|version| version.time_ms == handled.time_ms);
    let mut in_force = same_time.into_iter().chain(before.into_iter().take(1));
    match in_force.find(|version| is_what_is_asked(&version.payload, effect)) {
        Some(version) => Step::Config(Box::new(ConfigStep { unchanged: true, ..ConfigStep::new(version, newest) })),
        None => Step::Gone(Gone::Config { device }),
    }
}

/// Whether the effect changes nothing in this config.
fn is_what_is_asked(config: &[u8], effect: &Effect) -> bool {
    match effect {
        Effect::Config { payload, .. } => payload == config,
        Effect::PatchDesired { patch, .. } => twin::patched(config, patch) == Ok(None),
        _ => false,
    }
}

/// What an event came of.
#[derive(Default)]
struct Before {
    /// In order.
    steps: Vec<Step>,
    /// What led to the first of them.
    cause: Option<Cause>,
}

impl From<Step> for Before {
    fn from(step: Step) -> Self {
        Self { steps: vec![step], cause: None }
    }
}

/// Its effects were not made. What was done is never tried again, so the plugin's next try says so. `later`: what stands in
/// the log behind it.
fn was_refused(handled: &Handled, later: &[Handled]) -> bool {
    let tried_again = later.iter().any(|other| other.plugin == handled.plugin && other.attempt > handled.attempt);
    tried_again && matches!(handled.outcome, Outcome::Done { .. })
}

fn is_of(cause: &Cause, of: &PluginName, on: u32) -> bool {
    matches!(cause, Cause::Plugin { plugin, attempt, .. } if plugin == of && *attempt == on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_that_was_in_force_already_is_found_by_what_it_says() {
        let version = |version, time_ms, payload: &'static str| ConfigVersion {
            device: DeviceNum(1),
            version,
            time_ms,
            payload: payload.into(),
            cause: Cause::Api { who: "test".into() },
            acknowledged_ms: None,
        };
        let handled = Handled {
            plugin: PluginName::new("wake").unwrap(),
            digest: "sha256:ab".into(),
            seq: Seq(42),
            attempt: 1,
            time_ms: 20,
            took_us: 1,
            logs: Vec::new(),
            outcome: Outcome::Done { effects: Vec::new() },
        };
        let set =
            |payload: &'static str| Effect::Config { device: DeviceNum(1), payload: payload.into(), expected: None };
        let patch =
            |patch: &'static str| Effect::PatchDesired { device: DeviceNum(1), patch: patch.into(), expected: None };
        let old =
            || vec![version(7, 30, "{}"), version(6, 20, "[]"), version(5, 10, r#"{"a":1}"#), version(4, 5, "on")];
        for (versions, effect, expected) in [
            (old(), set(r#"{"a":1}"#), Some(5)),
            (old(), patch(r#"{"a":1.0,"b":null}"#), Some(5)),
            (old(), set("[]"), Some(6)),
            (old(), set("on"), None),
            (old(), set("{}"), None),
            (vec![], set("on"), None),
        ] {
            match config_fate(versions, &handled, (0, &effect), DeviceNum(1)) {
                Step::Config(step) => assert_eq!((Some(step.version.version), step.unchanged), (expected, true)),
                other => assert_eq!((expected, other), (None, Step::Gone(Gone::Config { device: DeviceNum(1) }))),
            }
        }
        let nothing = config_fate(vec![], &handled, (0, &patch(r#"{"a":null}"#)), DeviceNum(1));
        assert_eq!(nothing, Step::NothingToPatch { device: DeviceNum(1) });
    }

    #[test]
    fn what_was_done_and_tried_again_was_refused() {
        let handled = |plugin: &str, attempt, outcome| Handled {
            plugin: PluginName::new(plugin).unwrap(),
            digest: "sha256:ab".into(),
            seq: Seq(42),
            attempt,
            time_ms: 1,
            took_us: 1,
            logs: Vec::new(),
            outcome,
        };
        let done = || Outcome::Done { effects: Vec::new() };
        let event = Event { seq: Seq(42), time_ms: 1, device: None, durable: true, data: EventData::Connected };
        let dead = || Outcome::Dead { error: "no JSON".into(), event: Box::new(event.clone()) };
        for (rule, first, later, expect) in [
            ("it stands", done(), vec![], false),
            ("tried again", done(), vec![handled("wake", 2, done())], true),
            ("tried again in vain", done(), vec![handled("wake", 2, dead())], true),
            ("another plugin's try", done(), vec![handled("relay", 2, done())], false),
            ("a dead letter that was driven again", dead(), vec![handled("wake", 1, done())], false),
        ] {
            assert_eq!(was_refused(&handled("wake", 1, first), &later), expect, "{rule}");
        }
    }
}
