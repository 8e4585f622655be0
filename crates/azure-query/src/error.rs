//! Why a query is refused.

/// A query that is wrong, asks for what there is not here, or is larger than it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", .at.map(|at| format!(" (at character {at})")).unwrap_or_default())]
pub struct QueryError {
    what: String,
    /// Where in the text, counted in bytes from 1; `None` if it is no single place.
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

    /// A bound was hit: to be counted as one.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.too_much
    }
}
