//! The bounds on the arguments of host functions. A host function passes its arguments to `admit`, which checks them and returns
//! the host: nothing is parsed, compiled, copied or shown before it is known to be small. `tests/it/tidy/imports.rs` checks that no
//! argument is left out.

use super::super::{
    bindings::imports::switchbox::plugin::{
        timer::Schedule,
        types::{Error, Property},
    },
    call_state::CallState,
};
use switchbox_rules::calls::{Arg, Bound, Refusal};

/// The size of an argument, computed without parsing it.
pub(super) trait Measure {
    fn size(&self) -> usize;
}

/// An argument with its bound.
pub(super) trait Of {
    fn of(self, value: &(impl Measure + ?Sized)) -> Arg;
}

impl Of for Bound {
    fn of(self, value: &(impl Measure + ?Sized)) -> Arg {
        self.sized(value.size())
    }
}

impl Measure for str {
    fn size(&self) -> usize {
        self.len()
    }
}

impl Measure for String {
    fn size(&self) -> usize {
        self.len()
    }
}

impl Measure for Vec<u8> {
    fn size(&self) -> usize {
        self.len()
    }
}

impl<T: Measure> Measure for Option<T> {
    fn size(&self) -> usize {
        self.as_ref().map_or(0, Measure::size)
    }
}

impl Measure for Vec<Property> {
    fn size(&self) -> usize {
        self.iter().map(|property| property.name.len().saturating_add(property.value.len())).sum()
    }
}

/// A number of entries.
impl Measure for u32 {
    fn size(&self) -> usize {
        usize::try_from(*self).unwrap_or(usize::MAX)
    }
}

impl Measure for Schedule {
    fn size(&self) -> usize {
        match self {
            Self::Cron(cron) => cron.expression.len().saturating_add(cron.time_zone.len()),
            Self::After(_) | Self::At(_) | Self::Every(_) => 0,
        }
    }
}

impl CallState {
    /// Counts the limit that was hit, and returns the error for the guest.
    pub(super) fn refused(&mut self, refusal: Refusal) -> Error {
        if let Some(limit) = refusal.limit() {
            self.count_limit(limit);
        }
        match refusal {
            Refusal::Invalid(text, _) => Error::Invalid(text),
            Refusal::Denied(text) => Error::Denied(text),
            Refusal::Limit(text, _) => Error::Limit(text),
        }
    }
}
