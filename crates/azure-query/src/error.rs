//! The errors of queries.

/// The query is wrong, uses what this host does not support, or exceeds a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", .at.map(|at| format!(" (at character {at})")).unwrap_or_default())]
pub struct QueryError {
    what: String,
    /// The position in the text, in bytes from 1. `None` if the error has no single position.
    at: Option<usize>,
    too_much: bool,
}

impl QueryError {
    pub(crate) fn at(at: usize, what: impl Into<String>) -> Self {
        Self { what: what.into(), at: Some(at + 1), too_much: false }
    }

    pub(crate) fn whole(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None, too_much: false }
    }

    pub(crate) fn too_much(at: Option<usize>, what: impl Into<String>) -> Self {
        Self { what: what.into(), at: at.map(|at| at + 1), too_much: true }
    }

    /// Whether the query exceeded a limit.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.too_much
    }
}
