//! The merge patch between two JSON objects with the same layout: the same members in the same order. Configs that one program wrote
//! mostly are. Both texts are read once, side by side, without a tree. Pure.

use switchbox_rules::json::{Kind, Tolerance, Value, same};

/// The member that no config has, as it is written.
const VERSION_TEXT: &str = "\"$version\"";
/// Maximum number of members of an object that is read here.
const MEMBERS: usize = 32;
/// Maximum depth of an object that is read here.
const DEPTH: usize = 8;

/// Writes the members of the merge patch. Returns `None` if the layout differs, or for a text that is not read here, such as one with an
/// array or an escape; `change` then has an unspecified end.
pub(crate) fn differ(before: &str, after: &str, change: &mut String) -> Option<()> {
    let mut texts = Texts { before: Text { text: before, at: 0 }, after: Text { text: after, at: 0 } };
    texts.objects(DEPTH, change)?;
    (texts.before.is_at_end() && texts.after.is_at_end()).then_some(())
}

/// Writes a member of the object whose beginning `text` ends with.
pub(crate) fn put(text: &mut String, key: &str, value: &str) {
    if !text.ends_with('{') {
        text.push(',');
    }
    text.push_str(key);
    text.push(':');
    text.push_str(value);
}

struct Texts<'a> {
    before: Text<'a>,
    after: Text<'a>,
}

/// A member of both objects.
#[derive(Clone, Copy, Default)]
struct Pair<'a> {
    key: &'a str,
    differs: bool,
}

impl<'a> Texts<'a> {
    /// Reads an object of each text.
    fn objects(&mut self, depth: usize, change: &mut String) -> Option<()> {
        let inner_depth = depth.checked_sub(1)?;
        self.both(b'{')?;
        let mut pairs = [Pair::default(); MEMBERS];
        let mut count = 0;
        if self.before.next() != b'}' {
            loop {
                let key = self.before.string()?;
                self.after.skip_text(key)?;
                self.both(b':')?;
                let length = change.len();
                self.values(key, inner_depth, change)?;
                *pairs.get_mut(count)? = Pair { key, differs: change.len() != length };
                count += 1;
                if self.before.next() != b',' {
                    break;
                }
                self.both(b',')?;
            }
        }
        self.both(b'}')?;
        // Of members with the same name only the last one counts.
        let pairs = pairs.get(..count)?;
        let repeated = |key| pairs.iter().filter(|pair| pair.key == key).nth(1).is_some();
        let is_sound = !pairs.iter().any(|pair| pair.differs && repeated(pair.key));
        is_sound.then_some(())
    }

    /// Reads a value of each text. Writes the member if the values differ.
    fn values(&mut self, key: &str, depth: usize, change: &mut String) -> Option<()> {
        let is_shown = key != VERSION_TEXT;
        if self.before.next() == b'{' && self.after.next() == b'{' {
            let length = change.len();
            put(change, key, "{");
            let empty = change.len();
            self.objects(depth, change)?;
            if change.len() == empty || !is_shown {
                change.truncate(length);
            } else {
                change.push('}');
            }
            return Some(());
        }
        let before = self.before.scalar()?;
        if self.after.skip_value(before.text) {
            return Some(());
        }
        let after = self.after.scalar()?;
        if is_shown && !same(&before, &after, Tolerance::EXACT) {
            put(change, key, after.text);
        }
        Some(())
    }

    fn both(&mut self, byte: u8) -> Option<()> {
        self.before.byte(byte)?;
        self.after.byte(byte)
    }
}

struct Text<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    /// The next byte that is not white space; 0 at the end.
    fn next(&mut self) -> u8 {
        while let b' ' | b'\n' | b'\r' | b'\t' = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn is_at_end(&mut self) -> bool {
        self.next();
        self.at == self.text.len()
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        self.next();
        self.byte_here(byte)
    }

    fn byte_here(&mut self, byte: u8) -> Option<()> {
        (self.peek() == byte).then(|| self.at += 1)
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Passes this text, if it comes next.
    fn skip_text(&mut self, text: &str) -> Option<()> {
        self.next();
        let is_next = self.text.as_bytes().get(self.at..)?.starts_with(text.as_bytes());
        is_next.then(|| self.at += text.len())
    }

    /// Passes the scalar with this text, if it comes next.
    fn skip_value(&mut self, text: &str) -> bool {
        let start = self.at;
        // A longer number or word may begin with the text.
        let is_next = self.skip_text(text).is_some() && matches!(self.next(), b',' | b'}');
        if !is_next {
            self.at = start;
        }
        is_next
    }

    /// A string without escapes, with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let start = self.at - 1;
        let rest = self.text.as_bytes().get(self.at..)?;
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        self.at += length;
        self.byte_here(b'"')?;
        Some(self.since(start))
    }

    /// A string without escapes, a number, or a literal.
    fn scalar(&mut self) -> Option<Value<'a>> {
        let first = self.next();
        let start = self.at;
        let kind = match first {
            b'"' => {
                let text = self.string()?;
                Kind::String(text.as_bytes().into())
            }
            b'-' | b'0'..=b'9' => {
                self.number()?;
                Kind::Number
            }
            _ => self.literal()?,
        };
        Some(Value { text: self.since(start), start, kind })
    }

    fn literal(&mut self) -> Option<Kind<'a>> {
        let rest = self.text.get(self.at..)?;
        let literals = [("true", Kind::Bool(true)), ("false", Kind::Bool(false)), ("null", Kind::Null)];
        let (text, kind) = literals.into_iter().find(|(text, _)| rest.starts_with(text))?;
        self.at += text.len();
        Some(kind)
    }

    fn number(&mut self) -> Option<()> {
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _ = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        Some(())
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == byte;
        self.at += usize::from(is_there);
        is_there
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: &str, after: &str) -> Option<String> {
        let mut change = String::from("{");
        differ(before, after, &mut change).map(|()| change)
    }

    #[test]
    fn members_that_differ_are_written() {
        for (before, after, expect) in [
            ("{}", " { } ", "{"),
            (r#"{"a":1,"b":"x"}"#, r#"{"a":1.0,"b":"x"}"#, "{"),
            (r#"{"a":1,"b":"x","c":null}"#, r#"{"a":-2.5e3, "b" : "ü" ,"c":true}"#, r#"{"a":-2.5e3,"b":"ü","c":true"#),
            (r#"{"z":1,"a":{"x":1,"y":{"k":0}}}"#, r#"{"z":2,"a":{"x":1,"y":{"k":9}}}"#, r#"{"z":2,"a":{"y":{"k":9}}"#),
            (r#"{"a":{"x":1},"b":{"x":1}}"#, r#"{"a":{"x":1},"b":{"x":2}}"#, r#"{"b":{"x":2}"#),
            (r#"{"a":{"x":1}}"#, r#"{"a":{"x":1.0}}"#, "{"),
            (r#"{"a":1,"b":true}"#, r#"{"a":12,"b":true }"#, r#"{"a":12"#),
            (r#"{"$version":1,"a":"b"}"#, r#"{"$version":2,"a":"c"}"#, r#"{"a":"c""#),
            (r#"{"a":1,"a":2,"b":3}"#, r#"{"a":1,"a":2,"b":4}"#, r#"{"b":4"#),
        ] {
            assert_eq!(change(before, after).as_deref(), Some(expect), "{before} {after}");
        }
    }

    #[test]
    fn any_other_layout_is_left_to_the_reader_of_trees() {
        let deep = |value: u8| format!("{}{value}{}", r#"{"a":"#.repeat(DEPTH + 1), "}".repeat(DEPTH + 1));
        let wide = |value: u8| {
            let members: Vec<_> = (0..=MEMBERS).map(|number| format!("\"{number}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(change(&deep(1), &deep(2)), None);
        assert_eq!(change(&wide(1), &wide(2)), None);
        let known = r#"{"a":1,"b":2}"#;
        for text in [
            "",
            "{",
            "[]",
            r#"{"a":1}"#,
            r#"{"b":2,"a":1}"#,
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"a":1,"b":2,}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1,"b":2}}"#,
            r#"{"a":1,"b":2"#,
            r#"{"a":01,"b":2}"#,
            r#"{"a":1.,"b":2}"#,
            r#"{"a":-,"b":2}"#,
            r#"{"a":1e,"b":2}"#,
            r#"{"a":+1,"b":2}"#,
            r#"{"a":[1],"b":2}"#,
            r#"{"a":"\n","b":2}"#,
            r#"{"\u0061":1,"b":2}"#,
            r#"{"a":tru,"b":2}"#,
            r#"{"a":{"x":1},"b":2}"#,
            "{\"a\":\"\n\",\"b\":2}",
            r#"{"a":1,"b":2}0"#,
            r#"{"a":,"b":2}"#,
            r#"{,"a":1,"b":2}"#,
            r#"{"a":1,,"b":2}"#,
            "{\"a\":1,\"b\":2}\0",
        ] {
            assert_eq!(change(known, text), None, "{text}");
            assert_eq!(change(text, known), None, "{text}");
        }
        assert_eq!(change(r#"{"a":1,"a":2}"#, r#"{"a":3,"a":2}"#), None, "the first member does not count");
    }
}
