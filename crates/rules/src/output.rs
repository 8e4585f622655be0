//! The lines that a plugin writes for one event, bounded: what is past the bounds is dropped, and one line says so.

use crate::{
    calls::{count_raised_by, raised_by},
    limits::{COUNT_PER_EVENT_MAX, LOG_LINES, LimitName, OUTPUT_BYTES, plugin_names as names},
    size::Size,
    text,
};

/// Most bytes of output of one event that a plugin's settings may allow. All of it is in one entry of the journal.
pub const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Most lines of one event that a plugin's settings may allow.
pub const MOST_LINES: u32 = COUNT_PER_EVENT_MAX;

/// How much a plugin may write for one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputBounds {
    pub lines: u32,
    pub bytes: Size,
}

impl Default for OutputBounds {
    fn default() -> Self {
        Self { lines: LOG_LINES, bytes: Size(OUTPUT_BYTES) }
    }
}

/// The lines of one event so far, each with its level.
#[derive(Debug, Clone)]
pub struct OutputLines<L> {
    lines: Vec<(L, String)>,
    bytes: usize,
    /// The limit that was hit: later lines are dropped.
    cut: Option<LimitName>,
    /// A line was too long, and only its beginning is kept.
    shortened: bool,
}

impl<L> Default for OutputLines<L> {
    fn default() -> Self {
        Self { lines: Vec::new(), bytes: 0, cut: None, shortened: false }
    }
}

impl<L> OutputLines<L> {
    /// Whether lines are dropped.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Adds a line. `warning`: the level of the line that says that the rest is dropped.
    pub fn push(&mut self, bounds: OutputBounds, level: L, warning: L, message: &str) {
        if self.is_cut() {
            return;
        }
        let OutputBounds { lines, bytes } = bounds;
        if self.lines.len() >= lines as usize {
            self.cut(names::LOG_LINES, lines as usize, warning, &count_raised_by(names::LOG_LINES, lines));
        } else if self.bytes.saturating_add(message.len()) > bytes.bytes() {
            let raised = MOST_BYTES.min(bytes.0.saturating_mul(2));
            let more = (bytes.0 < MOST_BYTES).then(|| raised_by("output", format!("\"{}\"", Size(raised))));
            self.cut(names::OUTPUT, bytes.bytes(), warning, &more.unwrap_or_default());
        } else {
            self.bytes += message.len();
            let short = text::too_long(message);
            self.shortened |= short.is_some();
            self.lines.push((level, short.unwrap_or_else(|| message.to_owned())));
        }
    }

    fn cut(&mut self, limit: LimitName, value: usize, warning: L, more: &str) {
        self.cut = Some(limit);
        self.lines.push((warning, format!("the limit \"{limit}\" ({value}) is reached; the rest is dropped{more}")));
    }

    /// The lines and the limits that were hit; empties it for the next event.
    pub fn take(&mut self) -> (Vec<(L, String)>, Vec<LimitName>) {
        let Self { lines, cut, shortened, .. } = std::mem::take(self);
        let shortened = shortened.then_some(names::TEXT_BYTES);
        (lines, cut.into_iter().chain(shortened).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_dropped_and_one_line_says_how_to_allow_more() {
        let bounds = OutputBounds::default();
        for (bounds, limit, more) in [
            (
                OutputBounds { lines: 2, ..bounds },
                names::LOG_LINES,
                "(2) is reached; the rest is dropped; log-lines = 4 ",
            ),
            (
                OutputBounds { bytes: Size(9), ..bounds },
                names::OUTPUT,
                "(9) is reached; the rest is dropped; output = \"18B\" ",
            ),
        ] {
            let mut lines = OutputLines::default();
            (0..5).for_each(|_| lines.push(bounds, "info", "warn", "1234"));
            assert!(lines.is_cut());
            let (found, hit) = lines.take();
            assert_eq!(hit, [limit]);
            assert_eq!((found.len(), found[1].clone()), (3, ("info", "1234".to_owned())));
            assert!(found[2].0 == "warn" && found[2].1.contains(more), "{found:?}");
            assert!(!lines.is_cut());
        }
        let mut lines = OutputLines::default();
        lines.push(bounds, "info", "warn", &"x".repeat(20_000));
        let (found, hit) = lines.take();
        assert_eq!(hit, [names::TEXT_BYTES]);
        assert!(found[0].1.ends_with("(cut: it had 20000 bytes)"));
    }
}
