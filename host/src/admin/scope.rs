//! What a caller may do: three steps, each holding those before it.

/// In order: who may do more may do less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Nothing to show: for whoever asks whether the host is alive.
    Open,
    /// Look at everything but who may call.
    Read,
    /// Send to devices, and take dead letters up again.
    Operate,
    /// Change what is there: registries, devices, plugins.
    Admin,
}

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}
