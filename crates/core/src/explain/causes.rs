//! Goes back from an effect or an event through what led to it.

use super::{
    Error, Handle,
    chain::{ExecutionStep, Gone, Step},
};
use switchbox_model::{Cause, Effect, EffectKey, Event, EventData, Handled, Outcome, limits};

/// Steps of a chain, at most. A cycle of causes ends after as many.
const MAX_STEPS: usize = 64;

impl Handle {
    /// The chain of steps to the event. `by`: the effect that caused it.
    pub(super) async fn chain_to_event(&self, event: Event, by: Option<EffectKey>) -> Result<Vec<Step>, Error> {
        let EventOrigin { mut steps, cause } = self.event_origin(&event, by).await?;
        if let Some(cause) = cause {
            let mut chain = self.chain_to_cause(cause).await?;
            chain.append(&mut steps);
            steps = chain;
        }
        steps.push(Step::Event(Box::new(event)));
        Ok(steps)
    }

    /// The chain of steps to an effect with this cause, from the first one.
    pub(super) async fn chain_to_cause(&self, cause: Cause) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        let mut next = Some(cause);
        let mut bytes = 0;
        while let Some(cause) = next.take() {
            if steps.len() >= MAX_STEPS || bytes > limits::EXPLANATION_BYTES {
                steps.push(Step::EarlierNotShown);
                break;
            }
            match cause {
                Cause::Api { caller } => steps.push(Step::Operator { caller }),
                Cause::Plugin { seq, plugin, digest, attempt, .. } => {
                    let history = self.journal.event_history(seq, Some(&plugin)).await?;
                    let is_execution = |handled: &Handled| handled.plugin == plugin && handled.attempt == attempt;
                    let held = history.held_back(&plugin, attempt);
                    steps.extend(held.map(|held| Step::HeldBack(Box::new(held.clone()))));
                    // A dead letter that was redriven has failed before under the same numbers.
                    let record = history.handled.into_iter().rfind(is_execution);
                    bytes += record.iter().map(Handled::payload_bytes).sum::<usize>();
                    steps.push(Step::Execution(Box::new(ExecutionStep { seq, plugin, digest, attempt, record })));
                    let Some(event) = history.event else {
                        steps.push(Step::Gone(Gone::Event(seq)));
                        break;
                    };
                    let origin = self.event_origin(&event, history.by).await?;
                    bytes += event.data.payload().len();
                    steps.push(Step::Event(Box::new(event)));
                    steps.extend(origin.steps.into_iter().rev());
                    next = origin.cause;
                }
            }
        }
        steps.reverse();
        Ok(steps)
    }

    /// The cause of an event that the host made itself.
    async fn event_origin(&self, event: &Event, by: Option<EffectKey>) -> Result<EventOrigin, Error> {
        if let (EventData::CommandSettled { id, .. }, Some(device)) = (&event.data, event.device) {
            let Some(command) = self.command_of(device, id).await? else {
                return Ok(EventOrigin::from(Step::Gone(Gone::Command { device, id: id.clone() })));
            };
            let cause = Some(command.cause.clone());
            return Ok(EventOrigin { cause, ..EventOrigin::from(Step::Command(Box::new(command))) });
        }
        let Some(EffectKey { seq, plugin, index }) = by else { return Ok(EventOrigin::default()) };
        let history = self.journal.event_history(seq, Some(&plugin)).await?;
        // If the event was tried again, the last attempt has the effects.
        let is_done = |handled: &Handled| handled.plugin == plugin && matches!(handled.outcome, Outcome::Done { .. });
        let Some(handled) = history.handled.into_iter().rfind(is_done) else {
            return Ok(EventOrigin::from(Step::Gone(Gone::Execution { seq, plugin })));
        };
        let Handled { digest, attempt, outcome, .. } = handled;
        let effect = match outcome {
            Outcome::Done { effects } => effects.into_iter().nth(usize::try_from(index).unwrap_or(usize::MAX)),
            Outcome::Dead { .. } => None,
        };
        let mut origin = EventOrigin {
            cause: Some(Cause::Plugin { seq, plugin, digest, attempt, index }),
            ..EventOrigin::default()
        };
        // An event of a topic contains all of the message that was published, so no step is added for that.
        if let Some(Effect::TimerSet(timer)) = effect {
            origin.steps.push(Step::TimerSet(timer));
        }
        Ok(origin)
    }
}

/// The cause of an event.
#[derive(Default)]
struct EventOrigin {
    /// The steps to the event, in order.
    steps: Vec<Step>,
    /// The cause of the first step.
    cause: Option<Cause>,
}

impl From<Step> for EventOrigin {
    fn from(step: Step) -> Self {
        Self { steps: vec![step], cause: None }
    }
}
