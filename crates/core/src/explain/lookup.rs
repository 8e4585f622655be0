//! Explains each kind of object: finds the steps of its chain in the journal and among the documents.

use std::sync::Arc;

use super::{
    Error, Handle,
    chain::{Branch, ConfigStep, Explanation, Gone, PendingApproval, Step},
    id::Id,
};
use crate::{journal::EventHistory, registry::Device};
use switchbox_model::{CallRecord, Cause, Handled, Outcome, PluginName, Seq, limits};

impl Handle {
    /// Explains an object: finds its causes and its effects. `pending`: the effects that wait for an operator's approval, which are not in
    /// the journal.
    pub async fn explain(&self, id: &Id, pending: Vec<PendingApproval>) -> Result<Explanation, Error> {
        match id {
            Id::Event(seq) => {
                let mut explanation = self.explain_event(*seq).await?;
                let of_event = pending.into_iter().filter(|pending| pending.seq == *seq);
                explanation.branches.extend(of_event.map(|pending| Step::WaitsForApproval(Box::new(pending)).into()));
                Ok(explanation)
            }
            Id::Execution { seq, plugin } | Id::Effect { seq, plugin, .. }
                if pending.iter().any(|pending| pending.is_of(*seq, plugin)) =>
            {
                self.explain_pending(*seq, plugin, pending).await
            }
            Id::Execution { seq, plugin } => self.explain_execution(*seq, plugin).await,
            Id::Config { device, version } => self.explain_config(&self.device(device)?, *version).await,
            Id::Effect { seq, plugin, index } => self.explain_effect(*seq, plugin, *index).await,
            Id::Call { seq, plugin, index } => self.explain_call(*seq, plugin, *index).await,
            Id::OperatorRequest(id) => self.explain_operator_request(id).await,
            Id::DeadLetter(id) => self.explain_dead_letter(*id).await,
        }
    }

    async fn explain_event(&self, seq: Seq) -> Result<Explanation, Error> {
        let mut history = self.journal.event_history(seq, None).await?;
        let Some(event) = history.event.take() else { return Err(Self::missing(format!("event {seq}"))) };
        let (mut branches, mut cut) = (Vec::new(), history.cut);
        for (index, execution) in history.handled.iter().enumerate() {
            let is_refused = was_refused(execution, history.handled.get(index + 1..).unwrap_or_default());
            branches.push(self.branch(execution.clone(), &history, is_refused).await?);
            if branches.iter().map(Branch::payload_bytes).sum::<usize>() > limits::EXPLANATION_BYTES {
                cut = true;
                break;
            }
        }
        Ok(Explanation { chain: self.chain_to_event(event, history.by).await?, branches, cut })
    }

    async fn explain_execution(&self, seq: Seq, plugin: &PluginName) -> Result<Explanation, Error> {
        let history = self.journal.event_history(seq, Some(plugin)).await?;
        let Some(handled) = history.handled.iter().rfind(|handled| handled.plugin == *plugin).cloned() else {
            return Err(Self::missing(format!("the execution of event {seq} by plugin {plugin}")));
        };
        let Branch { step, branches } = self.branch(handled, &history, false).await?;
        let mut chain = match history.event {
            Some(event) => self.chain_to_event(event, history.by).await?,
            None => vec![Step::Gone(Gone::Event(seq))],
        };
        chain.push(step);
        Ok(Explanation { chain, branches, cut: false })
    }

    async fn explain_pending(
        &self,
        seq: Seq,
        plugin: &PluginName,
        pending: Vec<PendingApproval>,
    ) -> Result<Explanation, Error> {
        let history = self.journal.event_history(seq, None).await?;
        let mut chain = match history.event {
            Some(event) => self.chain_to_event(event, history.by).await?,
            None => vec![Step::Gone(Gone::Event(seq))],
        };
        let of_it = pending.into_iter().filter(|pending| pending.is_of(seq, plugin));
        chain.extend(of_it.map(|pending| Step::WaitsForApproval(Box::new(pending))));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    async fn explain_config(&self, device: &Arc<Device>, version: Option<u64>) -> Result<Explanation, Error> {
        let versions = self.store.configs(device.num, limits::VERSIONS_KEPT).await?;
        let newest = versions.first().map_or(0, |newest| newest.version);
        let config = versions.into_iter().find(|config| version.is_none_or(|version| config.version == version));
        let Some(config) = config else {
            let what = version.map_or_else(|| "a config".to_owned(), |version| format!("config version {version}"));
            return Err(Self::missing(format!("{what} for {}", device.name)));
        };
        let mut chain = self.chain_to_cause(config.cause.clone()).await?;
        chain.push(Step::Config(Box::new(ConfigStep::new(config, newest))));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    /// Commands of plugins are effects too, and have the same ids.
    async fn explain_effect(&self, seq: Seq, plugin: &PluginName, index: usize) -> Result<Explanation, Error> {
        let Explanation { mut chain, branches, cut } = match self.explain_execution(seq, plugin).await {
            Ok(found) => found,
            // The journal no longer has the execution, but the command may still be there.
            Err(Error::NotFound(_)) => return self.explain_command(&format!("{seq}.{plugin}.{index}")).await,
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

    async fn explain_call(&self, seq: Seq, plugin: &PluginName, index: u32) -> Result<Explanation, Error> {
        let id = CallRecord::id_of(seq, plugin, index);
        let calls = self.journal.event_history(seq, None).await?.calls;
        // Each attempt at the event makes its calls again; the last attempt is shown.
        let Some(call) = calls.into_iter().rfind(|call| call.id == id) else {
            return Err(Self::missing(format!("method call {id}")));
        };
        let mut chain = self.chain_to_cause(call.cause.clone()).await?;
        chain.push(Step::Call(Box::new(call)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    async fn explain_operator_request(&self, id: &str) -> Result<Explanation, Error> {
        let Some(call) = self.store.call_record(id.to_owned()).await? else { return self.explain_command(id).await };
        let mut chain = self.chain_to_cause(call.cause.clone()).await?;
        chain.push(Step::Call(Box::new(call)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    async fn explain_command(&self, id: &str) -> Result<Explanation, Error> {
        let command = self.store.command_by_id(id.to_owned()).await?;
        let command = command.ok_or_else(|| Self::missing(format!("a command or a method call {id}")))?;
        let mut chain = self.chain_to_cause(command.cause.clone()).await?;
        chain.push(Step::Command(Box::new(command)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    async fn explain_dead_letter(&self, id: u64) -> Result<Explanation, Error> {
        let dead_letter = self.journal.dead_letter(id).await?;
        let dead_letter = dead_letter.ok_or_else(|| Self::missing(format!("dead letter {id}")))?;
        let by = self.journal.event_history(dead_letter.event.seq, Some(&dead_letter.plugin)).await?.by;
        let mut chain = self.chain_to_event(dead_letter.event.clone(), by).await?;
        chain.push(Step::DeadLetter(Box::new(dead_letter)));
        Ok(Explanation { chain, branches: Vec::new(), cut: false })
    }

    /// An execution with its effects. `is_refused`: none of them was applied.
    async fn branch(&self, handled: Handled, history: &EventHistory, is_refused: bool) -> Result<Branch, Error> {
        let mut branches = Vec::new();
        let is_of_execution = |call: &&CallRecord| is_of(&call.cause, &handled.plugin, handled.attempt);
        branches
            .extend(history.calls.iter().filter(is_of_execution).map(|call| Step::Call(Box::new(call.clone())).into()));
        if is_refused {
            branches.push(Step::Refused.into());
        } else if let Outcome::Done { effects } = &handled.outcome {
            let held = history.held_back(&handled.plugin, handled.attempt);
            branches.extend(held.map(|held| Step::HeldBack(Box::new(held.clone())).into()));
            for (index, effect) in (0..).zip(effects) {
                branches.push(self.effect_step(&handled, index, effect).await?.into());
            }
        }
        Ok(Branch { step: Step::Execution(Box::new(handled.into())), branches })
    }
}

/// Whether an attempt's effects were refused when the entry was applied. A done event is never tried again, so a later attempt after `Done`
/// means that. `later`: the executions after it in the journal.
fn was_refused(handled: &Handled, later: &[Handled]) -> bool {
    let tried_again = later.iter().any(|other| other.plugin == handled.plugin && other.attempt > handled.attempt);
    tried_again && matches!(handled.outcome, Outcome::Done { .. })
}

/// Whether the cause is the execution by this plugin with this attempt.
fn is_of(cause: &Cause, plugin_name: &PluginName, number: u32) -> bool {
    matches!(cause, Cause::Plugin { plugin, attempt, .. } if plugin == plugin_name && *attempt == number)
}

#[cfg(test)]
mod tests;
