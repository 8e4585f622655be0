//! The bounds on the arguments of host functions. A host function passes its arguments to `admit`, which checks them and returns
//! the host: nothing is parsed, compiled, copied or shown before it is known to be small. `tests/it/tidy/imports.rs` checks that no
//! argument is left out.

use super::super::{
    bindings::imports::switchbox::plugin::{
        timer::Schedule,
        types::{Error, Property},
    },
    call_state::CallState,
    limits::names,
};
use switchbox_model::{
    limits::{self, LimitName},
    method,
};

/// The bound of one kind of argument.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    what: &'static str,
    limit: LimitName,
    most: usize,
}

const fn bound(what: &'static str, limit: LimitName, most: usize) -> Bound {
    Bound { what, limit, most }
}

pub(super) const DEVICE: Bound = bound("device's name", names::DEVICE_NAME_BYTES, limits::DEVICE_NAME_BYTES);
pub(super) const PATTERN: Bound = bound("pattern", names::PATTERN_BYTES, limits::PATTERN_BYTES);
pub(super) const CONFIG: Bound = bound("config", names::CONFIG_BYTES, limits::CONFIG_BYTES);
pub(super) const PATCH: Bound = bound("patch", names::CONFIG_BYTES, limits::CONFIG_BYTES);
pub(super) const COMMAND: Bound = bound("command", names::COMMAND_BYTES, limits::COMMAND_BYTES);
pub(super) const SUBFOLDER: Bound = bound("sub-folder", names::SUBFOLDER_BYTES, limits::SUBFOLDER_BYTES);
pub(super) const PROPERTIES: Bound = bound("properties", names::COMMAND_PROPERTIES, limits::COMMAND_PROPERTY_BYTES);
pub(super) const METHOD_NAME: Bound = bound("method's name", names::METHOD_NAME_BYTES, method::MAX_NAME_BYTES);
pub(super) const METHOD: Bound = bound("method's payload", names::METHOD_BYTES, limits::METHOD_BYTES);
pub(super) const KEY: Bound = bound("key", names::KV_KEY_BYTES, limits::KV_KEY_BYTES);
pub(super) const VALUE: Bound = bound("value", names::KV_BYTES, limits::KV_BYTES);
pub(super) const TIMER_NAME: Bound = bound("timer's name", names::TIMER_NAME_BYTES, limits::TIMER_NAME_BYTES);
pub(super) const TIMER: Bound = bound("timer's payload", names::TIMER_PAYLOAD_BYTES, limits::TIMER_PAYLOAD_BYTES);
pub(super) const SCHEDULE: Bound = bound("schedule", names::SCHEDULE_BYTES, limits::SCHEDULE_BYTES);
pub(super) const TOPIC: Bound = bound("topic", names::TOPIC_BYTES, limits::TOPIC_BYTES);
pub(super) const MESSAGE: Bound = bound("message", names::MESSAGE_BYTES, limits::TELEMETRY_BYTES);
pub(super) const LIST: Bound = bound("limit of a list", names::LIST_ENTRIES, limits::LIST_ENTRIES);

/// An argument's size with its bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arg {
    bound: Bound,
    size: usize,
}

impl Bound {
    pub(super) fn of(self, value: &(impl Measure + ?Sized)) -> Arg {
        Arg { bound: self, size: value.size() }
    }
}

/// The size of an argument, computed without parsing it.
pub(super) trait Measure {
    fn size(&self) -> usize;
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

/// Checks that all arguments are within their bounds. The first that is not is counted and named in the error.
pub(super) fn check(call: &mut CallState, args: &[Arg]) -> Result<(), Error> {
    match args.iter().find(|arg| arg.size > arg.bound.most) {
        None => Ok(()),
        Some(Arg { bound: Bound { what, limit, most }, size }) => {
            let unit = if *limit == names::LIST_ENTRIES { "entries" } else { "bytes" };
            let text = format!("the {what} has {size} {unit}, at most {most} are allowed");
            Err(Error::Invalid(call.hit(*limit, &text)))
        }
    }
}
