//! Who may publish and subscribe to which ordinary topic. Pure. The topics under `/devices/` are not decided here: each
//! belongs to its device, and the dialect knows whose it is.

/// What a client wants to do with a topic or a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Publish,
    Subscribe,
}

/// The ordinary topics that a client may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// All: the host stands on a loopback address with open doors.
    Open,
    /// None: a device has its own topics and no others.
    Own,
}

const OWN: &str = "a device may use its own topics under /devices/ only";

/// Why not; the client and the log are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("{OWN}")]
    Own,
}

impl Denied {
    /// The same words for every topic.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Own => OWN,
        }
    }
}

/// Whether a client with this access may do this with this ordinary topic.
pub fn may(access: &Access, _action: Action, _topic: &str) -> Result<(), Denied> {
    match access {
        Access::Open => Ok(()),
        Access::Own => Err(Denied::Own),
    }
}
