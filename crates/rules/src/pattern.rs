//! Globs on devices and sub-folders.

pub use globset::GlobSet;
use globset::{GlobBuilder, GlobSetBuilder};

use crate::limits::{LimitName, PATTERN_BYTES, PATTERNS_BYTES, plugin_names as names};

/// Refuses patterns that are too long, one or together. A compiled pattern takes some hundred bytes for each byte of its text, so this
/// comes before [`globs`].
///
/// # Errors
///
/// A text that names the limit.
pub fn check_patterns<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut bytes = 0_usize;
    for pattern in patterns {
        bytes = bytes.saturating_add(pattern.len());
        if pattern.len() > PATTERN_BYTES {
            let (begins, limit) = (pattern.chars().take(40).collect::<String>(), names::PATTERN_BYTES);
            let found = pattern.len();
            return Err(format!("{begins:?}… has {found} bytes; the limit \"{limit}\" is {PATTERN_BYTES}"));
        }
        if bytes > PATTERNS_BYTES {
            let limit = names::PATTERNS_BYTES;
            return Err(format!("all patterns together have more bytes than the limit \"{limit}\", {PATTERNS_BYTES}"));
        }
    }
    Ok(())
}

/// Refuses more than `max` of something.
///
/// # Errors
///
/// A text that names the limit.
pub fn check_count(what: &str, found: usize, limit: LimitName, max: usize) -> Result<(), String> {
    if found <= max { Ok(()) } else { Err(format!("there are {found} {what}; the limit \"{limit}\" is {max}")) }
}

/// Compiles globs in which `*` and `?` stay within one level.
///
/// # Errors
///
/// Returns a text that names the invalid pattern.
pub fn globs(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
        set.add(glob.map_err(|error| format!("{pattern:?} is not a valid glob: {}", error.kind()))?);
    }
    set.build().map_err(|error| error.to_string())
}
