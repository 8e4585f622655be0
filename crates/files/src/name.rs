//! The name of an uploaded file, as its device says it, and the name that its file has on the disk.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Longest name of a file on the disk, bytes.
const DISK_BYTES: usize = 255;
/// What stands in a name on the disk as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The name of a file within its device: UTF-8, whose parts are separated by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

/// Why a text is no name of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("the name of a file must not be empty")]
    Empty,
    #[error("the name of the file is too long: percent-encoded, it may have at most {DISK_BYTES} bytes, and has {0}")]
    TooLong(usize),
    #[error("the name of a file may not hold control characters or a backslash")]
    Character,
    #[error("the name of a file may not begin or end with /, and no part between two of them may be empty, . or ..")]
    Part,
}

impl FileName {
    pub fn new(name: &str) -> Result<Self, BadName> {
        if name.is_empty() {
            return Err(BadName::Empty);
        }
        if name.chars().any(|c| c.is_control() || c == '\\') {
            return Err(BadName::Character);
        }
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(BadName::Part);
        }
        let name = Self(name.into());
        let bytes = name.on_disk().len();
        if bytes > DISK_BYTES { Err(BadName::TooLong(bytes)) } else { Ok(name) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One segment of a path, which begins with no dot.
    pub(crate) fn on_disk(&self) -> String {
        let encoded = utf8_percent_encode(&self.0, ENCODED).to_string();
        encoded.strip_prefix('.').map(|rest| format!("%2E{rest}")).unwrap_or(encoded)
    }

    /// `None` for a file that is none of these.
    pub(crate) fn from_disk(segment: &str) -> Option<Self> {
        let name = Self::new(&percent_decode_str(segment).decode_utf8().ok()?).ok()?;
        (name.on_disk() == segment).then_some(name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_on_the_disk_and_comes_back() {
        for name in ["a", "a b.txt", "logs/2026/é", ".hidden", "..a", "%2e%2e", "C:x", "~", "a%2Fb", "+"] {
            let checked = FileName::new(name).unwrap();
            let segment = checked.on_disk();
            assert!(!segment.contains('/') && !segment.starts_with('.'), "{segment}");
            assert_eq!(FileName::from_disk(&segment), Some(checked), "{name}");
        }
        for segment in ["a b", ".x", "%2F", "a%2f", "%FF", ""] {
            assert_eq!(FileName::from_disk(segment), None, "{segment}");
        }
    }

    #[test]
    fn what_could_leave_the_folder_is_no_name() {
        for (name, why) in [
            ("", BadName::Empty),
            ("..", BadName::Part),
            ("a/../b", BadName::Part),
            ("./a", BadName::Part),
            ("/a", BadName::Part),
            ("a/", BadName::Part),
            ("a//b", BadName::Part),
            ("a\\b", BadName::Character),
            ("a\0b", BadName::Character),
            ("a\nb", BadName::Character),
        ] {
            assert_eq!(FileName::new(name), Err(why), "{name:?}");
        }
        assert!(FileName::new(&"x".repeat(255)).is_ok());
        assert_eq!(FileName::new(&"x".repeat(256)), Err(BadName::TooLong(256)));
        assert_eq!(FileName::new(&"é".repeat(43)), Err(BadName::TooLong(258)));
    }
}
