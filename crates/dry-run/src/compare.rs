//! Compares two executions of an event. Replays, cases and shadows use the same comparison. Pure.

use std::fmt;

use crate::effect::{EffectLine, OutcomeLine};

/// A difference between two lists of effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectDifference {
    /// The position, starting at 1.
    pub number: usize,
    pub was: Option<EffectLine>,
    pub is: Option<EffectLine>,
}

impl fmt::Display for EffectDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |effect: &Option<EffectLine>| effect.as_ref().map_or_else(|| "none".to_owned(), EffectLine::to_text);
        write!(f, "effect {}: was {}, is {}", self.number, shown(&self.was), shown(&self.is))
    }
}

/// Compares the effects at equal positions.
#[must_use]
pub fn effects(was: &[EffectLine], is: &[EffectLine]) -> Vec<EffectDifference> {
    effects_by(was, is, |was, is| was == is)
}

/// Compares with another definition of "equal".
pub(crate) fn effects_by(
    was: &[EffectLine],
    is: &[EffectLine],
    equal: impl Fn(&EffectLine, &EffectLine) -> bool,
) -> Vec<EffectDifference> {
    let differs = |at: &usize| match (was.get(*at), is.get(*at)) {
        (Some(was), Some(is)) => !equal(was, is),
        (was, is) => was.is_some() || is.is_some(),
    };
    let places = (0..was.len().max(is.len())).filter(differs);
    let difference = |at| EffectDifference { number: at + 1, was: was.get(at).cloned(), is: is.get(at).cloned() };
    places.map(difference).collect()
}

/// The text of a failure is not compared: it has positions in the component, which differ between builds of the same rule.
#[must_use]
pub fn outcomes(was: &OutcomeLine, is: &OutcomeLine) -> Option<String> {
    let same = was == is || matches!((was, is), (OutcomeLine::Failed(_), OutcomeLine::Failed(_)));
    (!same).then(|| format!("outcome: was {}, is {}", was.to_text(), is.to_text()))
}
