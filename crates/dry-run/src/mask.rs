//! Removes secrets from recordings: the values of keys that match a pattern, and the same values anywhere else in the same line.
//! Equal values get equal masks, so that a replay of a masked line results in its masked effects.

use std::ops::Range;

use globset::GlobSet;

use crate::{
    call::{DeviceLine, HostCall, MethodLine},
    effect::{EffectLine, OutcomeLine},
    event::{Data, EventLine},
    payload::Payload,
    recording::{ExecutionLine, StartLine, VersionLine},
    secret_words::SecretWords,
};
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

/// A shorter secret is masked only at its key, because it may occur elsewhere by chance.
const EVERYWHERE_BYTES: usize = 6;

/// The patterns of secret keys.
#[derive(Debug, Clone)]
pub struct Masks {
    patterns: GlobSet,
    words: SecretWords,
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
        Ok(Self { patterns: pattern::globs(&lower)?, words: SecretWords::new(&lower)? })
    }

    fn is_secret(&self, key: &str) -> bool {
        self.words.may_be_in_key(key) && self.patterns.is_match(key.to_lowercase())
    }

    /// Whether there may be something to mask. Quick, and without a parser. The line does not change.
    pub(crate) fn may_mask(&self, line: &mut ExecutionLine) -> bool {
        self.may_have_secrets(&mut |visit| execution(line, visit))
    }

    /// Returns true if something was masked.
    pub(crate) fn execution(&self, line: &mut ExecutionLine) -> bool {
        self.mask(|visit| execution(line, visit))
    }

    /// Returns true if something was masked.
    pub(crate) fn start(&self, line: &mut StartLine) -> bool {
        self.mask(|visit| line.calls.iter_mut().for_each(|asked| call(asked, visit)))
    }

    /// Returns true if something was masked.
    pub(crate) fn version(&self, line: &mut VersionLine) -> bool {
        self.mask(|visit| visit("", TextRef::Text(&mut line.settings)))
    }

    /// `each` visits all texts: a first time to find the secrets, a second time to mask them.
    fn mask(&self, mut each: impl FnMut(&mut Visit<'_>)) -> bool {
        let mut found = Vec::new();
        if !self.may_have_secrets(&mut each) {
            return false;
        }
        each(&mut |key, place| self.find(key, place.text(), &mut found));
        if found.is_empty() {
            return false;
        }
        each(&mut |key, place| {
            if let Some(masked) = place.text().and_then(|text| self.replaced(key, text, &found)) {
                place.replace(masked);
            }
        });
        true
    }

    fn may_have_secrets(&self, each: &mut impl FnMut(&mut Visit<'_>)) -> bool {
        let mut may = false;
        each(&mut |key, place| {
            let keyed = || !key.is_empty() && self.words.may_be_in_key(key);
            let inside = |text: &str| is_document(text) && self.words.may_be_in_document(text);
            may = may || keyed() || place.text().is_some_and(inside);
        });
        may
    }

    fn find(&self, key: &str, text: Option<&str>, found: &mut Vec<String>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        if !key.is_empty() && self.is_secret(key) {
            return add(found, text);
        }
        let Some(document) = document(text) else { return };
        self.secrets(&document, false, &mut |value| match &value.kind {
            Kind::String(meant) => {
                add(found, inner(value.text));
                if let Ok(meant) = std::str::from_utf8(meant) {
                    add(found, meant);
                }
            }
            _ => add(found, value.text),
        });
    }

    /// Returns `None` if it contains nothing to mask.
    fn replaced(&self, key: &str, text: &str, found: &[String]) -> Option<String> {
        if !key.is_empty() && self.is_secret(key) {
            return Some(name_of(text, found));
        }
        let mut places: Vec<(Range<usize>, String)> = Vec::new();
        if let Some(document) = document(text) {
            self.secrets(&document, false, &mut |value| {
                let masked = match value.kind {
                    Kind::String(_) => format!("\"{}\"", name_of(inner(value.text), found)),
                    _ => "0".to_owned(),
                };
                places.push((value.start..value.end(), masked));
            });
        }
        let mut masked = text.to_owned();
        for (range, name) in places.into_iter().rev() {
            masked.replace_range(range, &name);
        }
        for secret in found.iter().filter(|secret| secret.len() >= EVERYWHERE_BYTES) {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), &name_of(secret, found));
            }
        }
        (masked != text).then_some(masked)
    }

    /// The strings and numbers below secret keys.
    fn secrets<'a>(&self, value: &json::Value<'a>, secret: bool, take: &mut dyn FnMut(&json::Value<'a>)) {
        match &value.kind {
            Kind::Object(object) => {
                for member in object.members() {
                    let secret = secret || self.is_secret(&String::from_utf8_lossy(&member.key));
                    self.secrets(&member.value, secret, take);
                }
            }
            Kind::Array(items) => items.iter().for_each(|item| self.secrets(item, secret, take)),
            Kind::String(_) | Kind::Number if secret => take(value),
            _ => {}
        }
    }
}

fn is_document(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

fn document(text: &str) -> Option<json::Value<'_>> {
    if is_document(text) { json::parse(text.as_bytes()).ok() } else { None }
}

/// The contents of a JSON string, without its quotes.
fn inner(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn add(found: &mut Vec<String>, text: &str) {
    if !text.is_empty() && !found.iter().any(|known| known == text) {
        found.push(text.to_owned());
    }
}

/// The mask of a secret: equal secrets of a line have equal masks. A value that is a mask already stays, so masking twice has the
/// same result.
fn name_of(secret: &str, found: &[String]) -> String {
    if secret.starts_with("(masked ") {
        return secret.to_owned();
    }
    let number = found.iter().position(|known| known == secret).map_or(0, |at| at + 1);
    format!("(masked {number})")
}

/// The position of a text.
enum TextRef<'a> {
    Payload(&'a mut Payload),
    Text(&'a mut String),
}

impl TextRef<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Payload(payload) => std::str::from_utf8(&payload.0).ok(),
            Self::Text(text) => Some(text),
        }
    }

    fn replace(self, masked: String) {
        match self {
            Self::Payload(payload) => payload.0 = masked.into(),
            Self::Text(text) => *text = masked,
        }
    }
}

/// Called for each text with its key; the key is empty if there is none.
type Visit<'v> = dyn FnMut(&str, TextRef<'_>) + 'v;

fn execution(line: &mut ExecutionLine, visit: &mut Visit<'_>) {
    event(&mut line.event, visit);
    line.calls.iter_mut().for_each(|asked| call(asked, visit));
    line.effects.iter_mut().for_each(|wanted| effect(wanted, visit));
    line.logs.iter_mut().for_each(|text| visit("", TextRef::Text(text)));
    if let OutcomeLine::Retry(text) | OutcomeLine::Reject(text) | OutcomeLine::Failed(text) = &mut line.outcome {
        visit("", TextRef::Text(text));
    }
}

fn event(event: &mut EventLine, visit: &mut Visit<'_>) {
    let (payload, properties) = match &mut event.data {
        Data::Telemetry { payload, properties, .. } | Data::Topic { payload, properties, .. } => (payload, properties),
        Data::State { payload, .. } | Data::Timer { payload, .. } => return visit("", TextRef::Payload(payload)),
        Data::Connected | Data::Disconnected { .. } | Data::CommandSettled { .. } => return,
    };
    visit("", TextRef::Payload(payload));
    properties.iter_mut().for_each(|(name, value)| visit(name, TextRef::Text(value)));
}

fn call(call: &mut HostCall, visit: &mut Visit<'_>) {
    match call {
        HostCall::Device { answer: Some(answer), .. } => device(answer, visit),
        HostCall::List { answer, .. } => answer.iter_mut().for_each(|found| device(found, visit)),
        HostCall::Config { answer: Some(answer), .. } => visit("", TextRef::Payload(&mut answer.payload)),
        HostCall::Twin { answer: Ok(document), .. } => visit("", TextRef::Payload(document)),
        HostCall::StateGet { key, answer: Some(answer) } => visit(key, TextRef::Payload(&mut answer.value)),
        HostCall::Method { payload, answer, .. } => {
            visit("", TextRef::Payload(payload));
            if let MethodLine::Answered { payload, .. } = answer {
                visit("", TextRef::Payload(payload));
            }
        }
        _ => {}
    }
}

fn device(device: &mut DeviceLine, visit: &mut Visit<'_>) {
    device.metadata.iter_mut().for_each(|(name, value)| visit(name, TextRef::Text(value)));
}

fn effect(effect: &mut EffectLine, visit: &mut Visit<'_>) {
    if let EffectLine::State { key, value: Some(value), .. } = effect {
        return visit(key, TextRef::Payload(value));
    }
    if let Some(payload) = effect.payload_mut() {
        visit("", TextRef::Payload(payload));
    }
}

#[cfg(test)]
mod tests;
