//! The columns that SELECT names.

use crate::path::Path;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Select {
    /// Whole twins.
    All,
    Items(Vec<Item>),
}

/// A column of the result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) what: SelectedValue,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SelectedValue {
    Path(Path),
    Count,
}
