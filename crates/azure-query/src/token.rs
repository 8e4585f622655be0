//! Splits text into words, constants and signs, each with its position.

use serde_json::{Number, Value};

use crate::error::QueryError;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A keyword, a function or a part of a path.
    Word(String),
    /// A part of a path in double brackets. It is never a keyword.
    Quoted(String),
    Constant(Value),
    Sign(&'static str),
}

/// Longer signs come first, so that they are matched first.
const SIGNS: [&str; 13] = ["!=", "<>", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", ",", "*"];

/// All tokens of a text with their positions in bytes.
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, QueryError> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (token, bytes) = match rest.chars().next() {
            Some(c) if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            Some(quote @ ('\'' | '"')) => string(rest, quote, at)?,
            Some(c) if c.is_ascii_digit() => number(rest, at)?,
            Some('-') if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => number(rest, at)?,
            Some(c) if is_word(c) => word(rest),
            _ if rest.starts_with("[[") => quoted(rest, at)?,
            Some('.') => (Token::Sign("."), 1),
            Some(c) => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => return Err(QueryError::at(at, format!("{c:?} has no meaning in a query"))),
            },
            None => break,
        };
        found.push((at, token));
        at += bytes;
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}

/// Names may contain a hyphen; the language has no subtraction.
fn word(rest: &str) -> (Token, usize) {
    let end = rest.find(|c| !is_word(c) && c != '-').unwrap_or(rest.len());
    (Token::Word(rest.get(..end).unwrap_or_default().to_owned()), end)
}

fn quoted(rest: &str, at: usize) -> Result<(Token, usize), QueryError> {
    let inner = rest.get(2..).unwrap_or_default();
    let end = inner.find("]]").ok_or_else(|| QueryError::at(at, "[[ without ]]"))?;
    let name = inner.get(..end).unwrap_or_default();
    if name.is_empty() {
        return Err(QueryError::at(at, "a name in [[ ]] is empty"));
    }
    Ok((Token::Quoted(name.to_owned()), end + 4))
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), QueryError> {
    if let Some(digits) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let number = u64::from_str_radix(digits.get(..end).unwrap_or_default(), 16);
        let number = number.map_err(|_| QueryError::at(at, "a hexadecimal number has 1 to 16 digits"))?;
        return Ok((Token::Constant(number.into()), end + 2));
    }
    let mut end = 0;
    for (index, c) in rest.char_indices() {
        let exponent = matches!(rest.as_bytes().get(index.wrapping_sub(1)), Some(b'e' | b'E'));
        let sign = matches!(c, '+' | '-') && (index == 0 || exponent);
        if !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || sign) {
            break;
        }
        end = index + 1;
    }
    let text = rest.get(..end).unwrap_or_default();
    // Numbers follow JSON's syntax.
    let number: Number =
        serde_json::from_str(text).map_err(|_| QueryError::at(at, format!("{text} is not a number")))?;
    Ok((Token::Constant(Value::Number(number)), end))
}

fn string(rest: &str, quote: char, at: usize) -> Result<(Token, usize), QueryError> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        match c {
            // A doubled quote means one quote character.
            _ if c == quote && chars.peek().is_some_and(|(_, next)| *next == quote) => {
                chars.next();
                text.push(quote);
            }
            _ if c == quote => return Ok((Token::Constant(text.into()), index + 1)),
            '\\' => {
                let (_, escaped) = chars.next().ok_or_else(|| QueryError::at(at, "a text has no end"))?;
                text.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => unicode(&mut chars).ok_or_else(|| QueryError::at(at + index, "\\u needs four digits"))?,
                    '\\' | '\'' | '"' | '/' => escaped,
                    _ => return Err(QueryError::at(at + index, format!("\\{escaped} has no meaning in a text"))),
                });
            }
            _ => text.push(c),
        }
    }
    Err(QueryError::at(at, "a text has no end"))
}

fn unicode(chars: &mut impl Iterator<Item = (usize, char)>) -> Option<char> {
    let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
    let four = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    char::from_u32(u32::from_str_radix(&digits, 16).ok().filter(|_| four)?)
}
