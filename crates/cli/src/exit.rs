//! Exit codes of commands that use a host; docs/command-line.md lists them. Scripts rely on them, so a code never changes its
//! meaning.

use switchbox_model::InvalidName;

/// Why a command failed, if a script can react to it. Other failures end with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    Arguments = 2,
    /// `device method`: the device answered, with a status of 400 or more.
    DeviceRefused = 3,
    NotFound = 4,
    /// The token is missing, unknown, or does not permit the call.
    NotAllowed = 5,
    /// No host answers, or it cannot carry out the call at the moment.
    Unreachable = 6,
    /// The current state does not permit the call: the name is taken, another version is current, or the device is not connected.
    Conflict = 7,
    /// There was no answer in time.
    TimedOut = 8,
}

impl Code {
    /// `kind`: the name of the API's error. Returns `None` for an error without an exit code of its own.
    fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "INVALID_ARGUMENT" | "UNIMPLEMENTED" => Self::Arguments,
            "NOT_FOUND" => Self::NotFound,
            "UNAUTHENTICATED" | "PERMISSION_DENIED" => Self::NotAllowed,
            "UNAVAILABLE" | "RESOURCE_EXHAUSTED" => Self::Unreachable,
            "ALREADY_EXISTS" | "ABORTED" | "FAILED_PRECONDITION" => Self::Conflict,
            "DEADLINE_EXCEEDED" => Self::TimedOut,
            _ => return None,
        })
    }
}

/// A text for the user, with the exit code for scripts.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failed {
    code: Option<Code>,
    text: String,
}

pub(super) fn failed(code: Code, text: impl Into<String>) -> Failed {
    Failed { code: Some(code), text: text.into() }
}

/// An argument is wrong.
pub(super) fn wrong(text: impl Into<String>) -> anyhow::Error {
    failed(Code::Arguments, text).into()
}

/// The host refused a call with this kind of error.
pub(super) fn refused(kind: &str, text: String) -> anyhow::Error {
    Failed { code: Code::of(kind), text }.into()
}

/// Returns `None` if the error has no code of its own.
#[must_use]
pub fn code(error: &anyhow::Error) -> Option<u8> {
    let own_code = error.downcast_ref::<Failed>().and_then(|failed| failed.code);
    let name = || error.downcast_ref::<InvalidName>().map(|_| Code::Arguments);
    own_code.or_else(name).map(|code| code as u8)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_keeps_its_code_whatever_is_said_around_it() {
        let missing = refused("NOT_FOUND", "device lamp-1 does not exist".into());
        assert_eq!(code(&missing.context("no twin")), Some(4));
        let refused: Result<(), _> = Err(std::io::Error::other("refused"));
        let unreachable = refused.with_context(|| failed(Code::Unreachable, "no host answers"));
        assert_eq!(code(&unreachable.unwrap_err()), Some(6));
        assert_eq!(code(&super::refused("INTERNAL", "the disk".into())), None);
    }
}
