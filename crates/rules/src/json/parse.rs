//! From bytes to slices. `serde_json` decides what is JSON; what follows only finds where each part of a text that is
//! known to be valid begins and ends. The depth is checked before anything recurses.

use std::borrow::Cow;

use serde_json::{error::Category, value::RawValue};

use crate::json::value::{Kind, Member, Object, Value};

/// How deep objects and arrays may be nested in a document.
pub const DEPTH: usize = 128;

/// Why bytes are not a document that can be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("it is not JSON: byte {0} is not UTF-8")]
    NoText(usize),
    #[error("it is not JSON: {0}")]
    NoJson(String),
    #[error("it is nested deeper than {0} levels")]
    TooDeep(usize),
    #[error("it is a JSON array")]
    Array,
    #[error("it is a single JSON value")]
    Scalar,
}

/// Parses one JSON text that is nested no deeper than [`DEPTH`].
pub fn parse(document: &[u8]) -> Result<Value<'_>, Invalid> {
    parse_within(document, DEPTH)
}

/// As [`parse`], for a text that holds documents and is therefore deeper than they are.
pub fn parse_within(document: &[u8], most: usize) -> Result<Value<'_>, Invalid> {
    let text = std::str::from_utf8(document).map_err(|error| Invalid::NoText(error.valid_up_to()))?;
    // Skipping a value neither recurses nor limits the size of numbers, so that all valid JSON passes.
    if let Err(error) = serde_json::from_str::<&RawValue>(text) {
        let cut_off = if error.classify() == Category::Eof { "it ends too early: " } else { "" };
        return Err(Invalid::NoJson(format!("{cut_off}{error}")));
    }
    if depth(text.as_bytes()) > most {
        return Err(Invalid::TooDeep(most));
    }
    Ok(Cursor { text, at: 0 }.value())
}

/// Parses a JSON object; an empty document counts as `{}`.
pub fn object(document: &[u8]) -> Result<Object<'_>, Invalid> {
    if document.trim_ascii().is_empty() {
        return Ok(Object::default());
    }
    match parse(document)?.kind {
        Kind::Object(object) => Ok(object),
        Kind::Array(_) => Err(Invalid::Array),
        _ => Err(Invalid::Scalar),
    }
}

/// How deep objects and arrays are nested in a text that is valid JSON.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut most, mut in_string) = (0_usize, 0, false);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Walks through a text that is valid JSON and not too deep. Were it not valid, the result would be wrong, but there is
/// always one: no step panics, and each one but the last goes forward.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not white space; 0 at the end.
    fn peek(&mut self) -> u8 {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            if !byte.is_ascii_whitespace() {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self) -> Value<'a> {
        let first = self.peek();
        let start = self.at;
        let kind = match first {
            b'{' => Kind::Object(self.object()),
            b'[' => Kind::Array(self.array()),
            b'"' => Kind::String(self.string()),
            _ => self.scalar(),
        };
        Value { text: self.since(start), start, kind }
    }

    fn object(&mut self) -> Object<'a> {
        let mut members = Vec::new();
        self.at += 1;
        while let b'"' | b',' = self.peek() {
            if self.peek() == b',' {
                self.at += 1;
                continue;
            }
            let start = self.at;
            let key = self.string();
            let key_text = self.since(start);
            // The colon.
            self.peek();
            self.at += 1;
            members.push(Member { key_text, start, key, value: self.value() });
        }
        self.at += 1;
        Object::new(members)
    }

    fn array(&mut self) -> Vec<Value<'a>> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            match self.peek() {
                0 | b']' => break,
                b',' => self.at += 1,
                _ => items.push(self.value()),
            }
        }
        self.at += 1;
        items
    }

    fn scalar(&mut self) -> Kind<'a> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        self.at += length.max(1);
        match self.since(start) {
            "null" => Kind::Null,
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            _ => Kind::Number,
        }
    }

    /// What the string at this place means.
    fn string(&mut self) -> Cow<'a, [u8]> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                }
                _ => {}
            }
            self.at += 1;
        }
        let raw = bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }
    }
}

/// Resolves the escapes of a valid JSON string.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((kind, after)) = rest.split_first() else { break };
        rest = after;
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (unit, after) = utf16_unit(rest);
                rest = after;
                let pair = rest.strip_prefix(b"\\u").map(utf16_unit).filter(|(low, _)| (0xDC00..0xE000).contains(low));
                match pair {
                    Some((low, after)) if (0xD800..0xDC00).contains(&unit) => {
                        rest = after;
                        push_wtf8(&mut out, 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                    }
                    _ => push_wtf8(&mut out, unit),
                }
            }
            // `"`, `\` and `/` mean themselves.
            other => out.push(*other),
        }
    }
    out
}

/// Four hexadecimal digits, and what follows them.
fn utf16_unit(digits: &[u8]) -> (u32, &[u8]) {
    let (digits, rest) = digits.split_at(digits.len().min(4));
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0);
    (digits.iter().fold(0, |unit, byte| unit * 16 + digit(byte)), rest)
}

/// Appends a code point; a surrogate that stands alone in the three bytes that UTF-8 would give it.
fn push_wtf8(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let low = |bits: u32| 0x80 | (bits & 0x3F) as u8;
            out.extend_from_slice(&[0xE0 | (code >> 12) as u8, low(code >> 6), low(code)]);
        }
    }
}
