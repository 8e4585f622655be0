//! Makes an error text of what ended a guest's call, with the limit's name if it was a limit.

use wasmtime::{Trap, component::ResourceTableError};

use super::{
    frames,
    limits::{Size, names},
    text,
};
use switchbox_model::limits::{GUEST_CALL_BYTES, LimitName};

/// A limit that ends the call. Passes through the guest's frames as a trap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the limit \"{limit}\" is reached: {text}")]
pub(super) struct LimitHit {
    pub(super) limit: LimitName,
    pub(super) text: String,
}

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) limit: Option<LimitName>,
    pub(super) text: String,
}

/// `stderr_tail`: the end of the guest's standard error.
pub(super) fn explain(error: &wasmtime::Error, stderr_tail: &str) -> Failure {
    let (limit, mut text) = if let Some(hit) = error.downcast_ref::<LimitHit>() {
        (Some(hit.limit), hit.to_string())
    } else if let Some(Trap::StackOverflow) = error.downcast_ref() {
        (Some(names::STACK), format!("the limit \"{}\" is reached: the guest's calls go too deep", names::STACK))
    } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
        (Some(names::HANDLES), format!("the limit \"{}\" is reached: too many open streams and timers", names::HANDLES))
    } else if error.root_cause().to_string().contains("fuel allocated for hostcalls") {
        // wasmtime's own type is private.
        let most = Size(GUEST_CALL_BYTES as u64);
        let text = format!("the limit \"{}\" is reached: {most} for all arguments of one call", names::CALL_BYTES);
        (Some(names::CALL_BYTES), text)
    } else if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        (None, format!("the guest called exit({})", exit.0))
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        let place = frames::running(error).map(|place| format!(", {place}"));
        (None, format!("the guest trapped: {trap}{}", place.unwrap_or_default()))
    } else {
        (None, format!("the guest failed: {}", error.root_cause()))
    };
    text = text::cut(text);
    if !stderr_tail.is_empty() {
        text.push_str("; the end of its standard error: ");
        text.push_str(stderr_tail);
    }
    Failure { limit, text }
}
