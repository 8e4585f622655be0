//! The codes that commands towards a host end with; docs/command-line.md lists them. Scripts rely on them: a code keeps its meaning.

use switchbox_model::InvalidName;

/// Why a command failed, as far as a script can do something about it. Other failures end with 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    Arguments = 2,
    /// `device method`: the device answered, with a status of 400 or more.
    DeviceRefused = 3,
    NotFound = 4,
    /// The token is missing, unknown, or does not allow it.
    NotAllowed = 5,
    /// No host answers, or it cannot do it at the moment.
    Unreachable = 6,
    /// What is there does not allow it: a name that is taken, another version, a device that is not connected.
    Conflict = 7,
    /// Something did not answer in its time.
    TimedOut = 8,
}

impl Code {
    /// `kind`: the name of the API's error. Returns `None` if it is a failure like any other.
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

/// A text for the person, with the code for the script.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failed {
    code: Option<Code>,
    text: String,
}

pub(super) fn failed(code: Code, text: impl Into<String>) -> Failed {
    Failed { code: Some(code), text: text.into() }
}

/// What was typed is wrong.
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
    let said = error.downcast_ref::<Failed>().and_then(|failed| failed.code);
    let name = || error.downcast_ref::<InvalidName>().map(|_| Code::Arguments);
    said.or_else(name).map(|code| code as u8)
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
        let nobody = refused.with_context(|| failed(Code::Unreachable, "no host answers"));
        assert_eq!(code(&nobody.unwrap_err()), Some(6));
        assert_eq!(code(&super::refused("INTERNAL", "the disk".into())), None);
    }
}
