//! Limits of a query and its result.

/// Longest query, bytes.
pub const MAX_BYTES: usize = 8 * 1024;
/// How deep parentheses and NOT may be nested.
pub const MAX_DEPTH: usize = 32;
/// Items that SELECT, GROUP BY or the list of IN may have.
pub const MAX_ITEMS: usize = 100;
/// Names that one path may have.
pub const MAX_PATH: usize = 12;
/// Groups that the result of a query with GROUP BY may have.
pub const MAX_GROUPS: usize = 1_000;
