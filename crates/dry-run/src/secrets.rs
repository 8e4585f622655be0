//! Secrets with their masks, and the search for them in other texts. Pure.

use std::{cmp::Reverse, collections::HashMap, ops::Range, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// A shorter secret is masked only at its key, because it may occur elsewhere by chance.
const EVERYWHERE_BYTES: usize = 6;

/// The first bytes of a secret, which are searched for; the others are compared where these are found. So a long secret needs little
/// memory.
const SEARCHED_BYTES: usize = 64;

/// What a mask begins with.
const MASK: &[u8] = b"(masked ";

/// The mask of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mask {
    /// Starts at 1. Equal secrets have equal numbers.
    number: usize,
    /// It was only seen as a number in JSON. It is 0 in a replay, so its copies are masked as 0.
    is_number: bool,
}

impl Mask {
    fn name(self) -> String {
        if self.is_number { "0".to_owned() } else { format!("(masked {})", self.number) }
    }
}

/// Secrets, each with its mask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    masks: HashMap<Arc<[u8]>, Mask>,
    /// The number of the last one.
    last: usize,
    bytes: usize,
    search: Option<Search>,
}

/// Finds the secrets that are masked anywhere.
#[derive(Debug, Clone)]
struct Search {
    automaton: AhoCorasick,
    secrets: Vec<(Arc<[u8]>, Mask)>,
}

impl Secrets {
    /// Bytes of all secrets.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// Whether the text has one of those that are masked anywhere.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.search.as_ref().is_some_and(|search| search.matches(text).next().is_some())
    }

    /// The same, quickly: also true if the search may miss one, because the text is JSON with escapes.
    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        self.search.is_some() && (self.is_in(text) || is_document(text) && text.contains(&b'\\'))
    }

    /// These and others, whose numbers come after.
    pub(crate) fn joined(&self, more: Self) -> Self {
        let (mut masks, bytes) = (self.masks.clone(), self.bytes + more.bytes);
        masks.extend(more.masks);
        let search = Search::new(&masks, None);
        Self { masks, last: more.last, bytes, search }
    }
}

impl Search {
    /// `kind` is `None` for the one that searches fastest.
    fn new(masks: &HashMap<Arc<[u8]>, Mask>, kind: Option<AhoCorasickKind>) -> Option<Self> {
        let long = masks.iter().filter(|(secret, _)| secret.len() >= EVERYWHERE_BYTES);
        let secrets: Vec<_> = long.map(|(secret, mask)| (Arc::clone(secret), *mask)).collect();
        if secrets.is_empty() {
            return None;
        }
        let searched = secrets.iter().map(|(secret, _)| secret.get(..SEARCHED_BYTES).unwrap_or(secret));
        // It fails only for more bytes than a line can have.
        let automaton = AhoCorasick::builder().kind(kind).build(searched).ok()?;
        Some(Self { automaton, secrets })
    }

    fn matches<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (Range<usize>, Mask)> + 'a {
        self.automaton.find_overlapping_iter(text).filter_map(move |found| {
            let (secret, mask) = self.secrets.get(found.pattern().as_usize())?;
            let range = found.start()..found.start() + secret.len();
            (text.get(range.clone()) == Some(&**secret)).then_some((range, *mask))
        })
    }
}

/// The secrets of a line, beside those that are remembered.
#[derive(Debug)]
pub(crate) struct LineSecrets<'k> {
    known: Option<&'k Secrets>,
    own: Secrets,
}

impl<'k> LineSecrets<'k> {
    pub(crate) fn new(known: Option<&'k Secrets>) -> Self {
        let last = known.map_or(0, |known| known.last);
        Self { known, own: Secrets { last, ..Secrets::default() } }
    }

    /// Adds a text, and another form of it, which gets the same mask. What is a mask already is no secret, so masking twice has the same
    /// result.
    pub(crate) fn add(&mut self, text: &[u8], other_form: &[u8]) {
        self.add_forms([text, other_form], false);
    }

    /// Adds a number of a JSON document.
    pub(crate) fn add_number(&mut self, text: &[u8]) {
        self.add_forms([text; 2], true);
    }

    fn add_forms(&mut self, forms: [&[u8]; 2], is_number: bool) {
        let [text, _] = forms;
        if text.is_empty() || text.starts_with(MASK) {
            return;
        }
        let mask = self.mask(text).unwrap_or_else(|| {
            self.own.last += 1;
            Mask { number: self.own.last, is_number }
        });
        for form in forms {
            if let Some(known) = self.own.masks.get_mut(form) {
                known.is_number &= is_number;
            } else if self.mask(form).is_none() {
                self.own.bytes += form.len();
                self.own.masks.insert(form.into(), mask);
            }
        }
    }

    /// The secrets that were added.
    pub(crate) fn into_own(self) -> Secrets {
        self.own
    }

    /// Called after the last secret was added, and before they are searched for.
    pub(crate) fn build_search(&mut self) {
        // The one that is built fastest: it searches one line.
        self.own.search = Search::new(&self.own.masks, Some(AhoCorasickKind::NoncontiguousNFA));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.known.is_none_or(Secrets::is_empty)
    }

    fn mask(&self, text: &[u8]) -> Option<Mask> {
        self.known.and_then(|known| known.masks.get(text)).or_else(|| self.own.masks.get(text)).copied()
    }

    /// What is written at a secret key instead of the text.
    pub(crate) fn at_key(&self, text: &[u8]) -> Vec<u8> {
        if text.starts_with(MASK) {
            return text.to_vec();
        }
        let number = self.mask(text).map_or(0, |mask| mask.number);
        Mask { number, is_number: false }.name().into()
    }

    /// Whether the text has a secret that is masked anywhere.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.own.is_in(text) || self.known.is_some_and(|known| known.is_in(text))
    }

    /// See [`Secrets::may_be_in`].
    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        self.own.may_be_in(text) || self.known.is_some_and(|known| known.may_be_in(text))
    }

    /// The text with masks in the place of secrets. Returns `None` if it has none. Secrets that overlap have one mask together.
    pub(crate) fn replaced(&self, text: &[u8]) -> Option<Vec<u8>> {
        let searches = [self.known.and_then(|known| known.search.as_ref()), self.own.search.as_ref()];
        let mut found: Vec<_> = searches.into_iter().flatten().flat_map(|search| search.matches(text)).collect();
        if found.is_empty() {
            return None;
        }
        found.sort_by_key(|(range, _)| (range.start, Reverse(range.end)));
        let (mut masked, mut at) = (Vec::with_capacity(text.len()), 0);
        for (range, mask) in found {
            if range.start >= at {
                masked.extend_from_slice(text.get(at..range.start).unwrap_or_default());
                masked.extend_from_slice(mask.name().as_bytes());
            }
            at = at.max(range.end);
        }
        masked.extend_from_slice(text.get(at..).unwrap_or_default());
        Some(masked)
    }
}

/// Whether the text may be a JSON object or array.
pub(crate) fn is_document(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secrets: &[&str]) -> LineSecrets<'static> {
        let mut line = LineSecrets::new(None);
        secrets.iter().for_each(|secret| line.add(secret.as_bytes(), secret.as_bytes()));
        line.build_search();
        line
    }

    fn replaced(line: &LineSecrets<'_>, text: &str) -> String {
        line.replaced(text.as_bytes()).map_or_else(String::new, |masked| String::from_utf8(masked).unwrap())
    }

    #[test]
    fn nothing_of_a_secret_stays_where_secrets_contain_or_overlap_one_another() {
        let line = of(&["hunter2", "hunter22!", "22!correct", "masked"]);
        assert_eq!(replaced(&line, "a hunter22! b"), "a (masked 2) b");
        assert_eq!(replaced(&line, "a hunter2 b"), "a (masked 1) b");
        assert_eq!(replaced(&line, "hunter22!correct horse"), "(masked 2) horse");
        assert_eq!(replaced(&line, "is masked"), "is (masked 4)");
        assert_eq!(replaced(&line, "nothing"), "");
        assert!(line.is_in(b"hunter2") && !line.is_in(b"hunter"));
    }

    #[test]
    fn a_long_secret_is_compared_to_its_end() {
        let (secret, other) = ("x".repeat(200), "x".repeat(190) + "yyyyyyyyyy");
        let line = of(&[&secret]);
        assert_eq!(replaced(&line, &format!("<{secret}>")), "<(masked 1)>");
        assert_eq!(replaced(&line, &other), "");
    }

    #[test]
    fn the_numbers_of_a_line_come_after_those_that_are_remembered() {
        let known = Secrets::default().joined(of(&["in the settings", "1234"]).into_own());
        assert_eq!(known.bytes(), 19);
        let mut line = LineSecrets::new(Some(&known));
        for secret in [&b"of the event"[..], b"1234"] {
            line.add(secret, secret);
        }
        line.build_search();
        assert_eq!(replaced(&line, "in the settings, of the event, 1234"), "(masked 1), (masked 3), 1234");
        assert_eq!(
            [line.at_key(b"1234"), line.at_key(b"(masked 7)")],
            [b"(masked 2)".to_vec(), b"(masked 7)".to_vec()]
        );
    }

    #[test]
    fn copies_of_a_number_are_0_unless_it_is_also_a_text() {
        let mut line = LineSecrets::new(None);
        line.add_number(b"123456");
        line.add_number(b"7654321");
        line.add(b"7654321", b"7654321");
        line.build_search();
        assert_eq!(replaced(&line, "pin 123456, 7654321"), "pin 0, (masked 2)");
    }
}
