//! Removes secrets from recordings: the values of keys that match a pattern, and the same values anywhere else in the same line. Those of
//! settings and of starts of instances are remembered, and removed from all lines that follow. Equal values get equal masks, so that a
//! replay of a masked line results in its masked effects.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use globset::GlobSet;
use parking_lot::RwLock;

use crate::{
    recording::{ExecutionLine, StartLine, VersionLine},
    secret_words::SecretWords,
    secrets::{LineSecrets, Secrets, is_document},
    texts::{self, Visit},
};
use switchbox_model::limits::RECORDING_SECRET_BYTES;
use switchbox_rules::{
    json::{self, Kind},
    pattern,
};

/// Patterns of keys whose values are always masked. They are case-insensitive.
pub const DEFAULT: [&str; 9] = [
    "*password*",
    "*passwd*",
    "*secret*",
    "*token*",
    "*api*key*",
    "*private*key*",
    "*credential*",
    "authorization",
    "pin",
];

/// The patterns of secret keys, and the secrets that are remembered.
#[derive(Debug)]
pub struct Masks {
    patterns: GlobSet,
    words: SecretWords,
    known: KnownSecrets,
}

/// The secrets of settings and of starts of instances: an instance may write them with each later event.
#[derive(Debug, Default)]
struct KnownSecrets {
    /// There are some. The lock is taken only then, because this is looked at for each execution.
    any: AtomicBool,
    secrets: RwLock<Arc<Secrets>>,
}

/// The secrets that would be remembered have more than [`RECORDING_SECRET_BYTES`].
#[derive(Debug)]
pub(crate) struct TooManySecrets;

impl KnownSecrets {
    fn get(&self) -> Option<Arc<Secrets>> {
        self.any.load(Ordering::Acquire).then(|| self.secrets.read().clone())
    }
}

impl Masks {
    /// Combines [`DEFAULT`] with these patterns.
    ///
    /// # Errors
    ///
    /// A pattern is not a valid glob.
    pub fn new(more: &[String]) -> Result<Self, String> {
        let all: Vec<_> = DEFAULT.into_iter().map(str::to_owned).chain(more.iter().cloned()).collect();
        let lower: Vec<_> = all.iter().map(|pattern| pattern.to_lowercase()).collect();
        Ok(Self { patterns: pattern::globs(&lower)?, words: SecretWords::new(&lower)?, known: KnownSecrets::default() })
    }

    fn is_secret(&self, key: &str) -> bool {
        !key.is_empty() && self.words.may_be_in_key(key) && self.patterns.is_match(key.to_lowercase())
    }

    /// Whether there may be something to mask. Quick, and without a parser. The line does not change.
    pub(crate) fn may_mask(&self, line: &mut ExecutionLine) -> bool {
        self.may_have_secrets(self.known.get().as_deref(), &mut |visit| texts::execution(line, visit))
    }

    /// Whether there may be something to mask in one of the lines, by one search for all their documents. They are copied to `documents`,
    /// which is memory for this only. The lines do not change.
    pub(crate) fn may_mask_any<'l>(
        &self,
        lines: impl Iterator<Item = &'l mut ExecutionLine>,
        documents: &mut Vec<u8>,
    ) -> bool {
        if self.known.any.load(Ordering::Acquire) {
            // Those are searched for in each text.
            return true;
        }
        documents.clear();
        let mut may = false;
        for line in lines {
            texts::execution(line, &mut |key, place| {
                may = may || !key.is_empty() && self.words.may_be_in_key(key);
                if is_document(place.bytes()) {
                    documents.extend_from_slice(place.bytes());
                }
            });
        }
        may || self.words.may_be_in_documents(documents)
    }

    /// Returns true if something was masked.
    pub(crate) fn execution(&self, line: &mut ExecutionLine) -> bool {
        self.mask(|visit| texts::execution(line, visit))
    }

    /// Returns true if something was masked.
    pub(crate) fn start(&self, line: &mut StartLine) -> bool {
        self.mask(|visit| of_start(line, visit))
    }

    /// Returns true if something was masked.
    pub(crate) fn version(&self, line: &mut VersionLine) -> bool {
        self.mask(|visit| of_version(line, visit))
    }

    /// Remembers the secrets of an instance's start, before its executions. The line does not change.
    ///
    /// # Errors
    ///
    /// There are too many. The line and those that follow it must not be written then.
    pub(crate) fn remember_start(&self, line: &mut StartLine) -> Result<(), TooManySecrets> {
        self.remember(|visit| of_start(line, visit))
    }

    /// The same for the settings of a version.
    pub(crate) fn remember_version(&self, line: &mut VersionLine) -> Result<(), TooManySecrets> {
        self.remember(|visit| of_version(line, visit))
    }

    fn remember(&self, mut each: impl FnMut(&mut Visit<'_>)) -> Result<(), TooManySecrets> {
        if !self.may_have_secrets(None, &mut each) {
            return Ok(());
        }
        let mut secrets = self.known.secrets.write();
        let before = Arc::clone(&secrets);
        let new = self.find_all(Some(&before), &mut each).into_own();
        if before.bytes() + new.bytes() > RECORDING_SECRET_BYTES {
            return Err(TooManySecrets);
        }
        if !new.is_empty() {
            *secrets = Arc::new(before.joined(new));
            self.known.any.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// `each` visits all texts: a first time to find the secrets, a second time to mask them.
    fn mask(&self, mut each: impl FnMut(&mut Visit<'_>)) -> bool {
        let known = self.known.get();
        if !self.may_have_secrets(known.as_deref(), &mut each) {
            return false;
        }
        let mut found = self.find_all(known.as_deref(), &mut each);
        if found.is_empty() {
            return false;
        }
        found.build_search();
        let mut masked = false;
        each(&mut |key, place| {
            if let Some(text) = self.replaced(key, place.bytes(), &found) {
                place.replace(text);
                masked = true;
            }
        });
        masked
    }

    fn may_have_secrets(&self, known: Option<&Secrets>, each: &mut impl FnMut(&mut Visit<'_>)) -> bool {
        let mut may = false;
        each(&mut |key, place| {
            let keyed = || !key.is_empty() && self.words.may_be_in_key(key);
            let text = place.bytes();
            let inside = || is_document(text) && self.words.may_be_in_document(text);
            may = may || keyed() || inside() || known.is_some_and(|known| known.may_be_in(text));
        });
        may
    }

    fn find_all<'k>(&self, known: Option<&'k Secrets>, each: &mut impl FnMut(&mut Visit<'_>)) -> LineSecrets<'k> {
        let mut found = LineSecrets::new(known);
        each(&mut |key, place| self.find(key, place.bytes(), &mut found));
        found
    }

    fn find(&self, key: &str, text: &[u8], found: &mut LineSecrets<'_>) {
        if self.is_secret(key) {
            return found.add(text, text);
        }
        if !is_document(text) || !self.words.may_be_in_document(text) {
            return;
        }
        if let Ok(document) = json::parse(text) {
            self.find_in(&document, false, found);
        }
    }

    /// The strings and numbers below secret keys.
    fn find_in(&self, value: &json::Value<'_>, secret: bool, found: &mut LineSecrets<'_>) {
        match &value.kind {
            Kind::Object(object) => {
                for member in object.members() {
                    let secret = secret || self.is_secret(&String::from_utf8_lossy(&member.key));
                    self.find_in(&member.value, secret, found);
                }
            }
            Kind::Array(items) => items.iter().for_each(|item| self.find_in(item, secret, found)),
            Kind::String(meant) if secret => found.add(inner(value.text).as_bytes(), meant),
            Kind::Number if secret => found.add_number(value.text.as_bytes()),
            _ => {}
        }
    }

    /// Returns `None` if it contains nothing to mask. What is JSON stays JSON.
    fn replaced(&self, key: &str, text: &[u8], found: &LineSecrets<'_>) -> Option<Vec<u8>> {
        if self.is_secret(key) {
            return Some(found.at_key(text)).filter(|masked| masked != text);
        }
        let as_document = || self.words.may_be_in_document(text) || found.may_be_in(text);
        if is_document(text)
            && as_document()
            && let Ok(document) = json::parse(text)
        {
            let mut edits = Vec::new();
            self.mask_in(&document, false, found, &mut edits);
            return edited(text, &edits);
        }
        found.replaced(text)
    }

    /// Collects what changes in a document, in the order of its text.
    fn mask_in(
        &self,
        value: &json::Value<'_>,
        secret: bool,
        found: &LineSecrets<'_>,
        edits: &mut Vec<(Range<usize>, String)>,
    ) {
        let new = match &value.kind {
            Kind::Object(object) => {
                for member in object.members() {
                    let range = member.start..member.start + member.key_text.len();
                    edits.extend(masked_string(&member.key, found).map(|new| (range, new)));
                    let secret = secret || self.is_secret(&String::from_utf8_lossy(&member.key));
                    self.mask_in(&member.value, secret, found, edits);
                }
                None
            }
            Kind::Array(items) => {
                items.iter().for_each(|item| self.mask_in(item, secret, found, edits));
                None
            }
            Kind::String(_) if secret => {
                Some(format!("\"{}\"", String::from_utf8_lossy(&found.at_key(inner(value.text).as_bytes()))))
            }
            Kind::String(meant) => masked_string(meant, found),
            Kind::Number if secret || found.is_in(value.text.as_bytes()) => Some("0".to_owned()),
            _ => None,
        };
        edits.extend(new.filter(|new| new != value.text).map(|new| (value.start..value.end(), new)));
    }
}

fn of_start(line: &mut StartLine, visit: &mut Visit<'_>) {
    line.calls.iter_mut().for_each(|recorded_call| texts::call(recorded_call, visit));
}

fn of_version(line: &mut VersionLine, visit: &mut Visit<'_>) {
    texts::text(&mut line.settings, visit);
}

/// The contents of a JSON string, without its quotes.
fn inner(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// A JSON string with masks. Returns `None` if it has no secret.
fn masked_string(meant: &[u8], found: &LineSecrets<'_>) -> Option<String> {
    let masked = found.replaced(meant)?;
    serde_json::to_string(&String::from_utf8_lossy(&masked)).ok()
}

fn edited(text: &[u8], edits: &[(Range<usize>, String)]) -> Option<Vec<u8>> {
    if edits.is_empty() {
        return None;
    }
    let (mut masked, mut at) = (Vec::with_capacity(text.len()), 0);
    for (range, new) in edits {
        masked.extend_from_slice(text.get(at..range.start).unwrap_or_default());
        masked.extend_from_slice(new.as_bytes());
        at = range.end;
    }
    masked.extend_from_slice(text.get(at..).unwrap_or_default());
    Some(masked)
}

#[cfg(test)]
mod tests;
