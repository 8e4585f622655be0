//! The property bag of a message's topic: pairs that are joined by `&` and percent-encoded. Names that begin with `$.` are system
//! properties; the host uses one set of names for them in every dialect.

use std::fmt::Write as _;

use switchbox_model::event::{Property, about};

use crate::url_encoding::{decode, encode};

/// Maximum number of pairs in one bag.
pub const MAX_PAIRS: usize = 100;

/// Names of the system properties in a bag, with the host's names.
const NAMES: [(&str, &str); 9] = [
    ("$.mid", about::MESSAGE_ID),
    ("$.cid", about::CORRELATION_ID),
    ("$.uid", about::USER_ID),
    ("$.ct", about::CONTENT_TYPE),
    ("$.ce", about::CONTENT_ENCODING),
    ("$.ctime", about::CREATION_TIME),
    ("$.exp", about::EXPIRY_TIME),
    ("$.sub", about::COMPONENT),
    ("$.ifid", about::INTERFACE),
];

/// Why a property bag is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BagError {
    #[error("the topic has more than {MAX_PAIRS} properties")]
    TooMany,
    #[error("a property in the topic is not UTF-8")]
    NoText,
}

/// Reads a bag. A name without `=` has the empty value.
pub fn read(bag: &str) -> Result<Vec<Property>, BagError> {
    if bag.is_empty() {
        return Ok(Vec::new());
    }
    let pairs = bag.split('&').filter(|pair| !pair.is_empty());
    let mut properties = Vec::with_capacity(bag.split('&').count().min(MAX_PAIRS));
    for pair in pairs {
        if properties.len() == MAX_PAIRS {
            return Err(BagError::TooMany);
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).ok_or(BagError::NoText)?;
        let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, own)| (*own).to_owned());
        properties
            .push((known.unwrap_or_else(|| name.into_owned()), decode(value).ok_or(BagError::NoText)?.into_owned()));
    }
    Ok(properties)
}

/// Writes a bag; `read` returns the same properties.
#[must_use]
pub fn write<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut bag = String::new();
    for (name, value) in properties {
        let name = NAMES.iter().find(|(_, own)| *own == name).map_or(name, |(known, _)| known);
        let and = if bag.is_empty() { "" } else { "&" };
        let _ = write!(bag, "{and}{}={}", encode(name), encode(value));
    }
    bag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(properties: &[(&str, &str)]) -> Vec<Property> {
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_bag_is_read_as_sdks_write_it() {
        for (bag, expect) in [
            ("", &[][..]),
            ("a=1&b=%C3%A9%20x", &[("a", "1"), ("b", "é x")]),
            (
                "%24.ct=application%2Fjson&%24.ce=utf-8",
                &[("$content-type", "application/json"), ("$content-encoding", "utf-8")],
            ),
            (
                "$.mid=7&$.cid=c&$.uid=u&$.on=out&$.exp=2030-01-01T00%3A00%3A00Z&$.ifid=i",
                &[
                    ("$message-id", "7"),
                    ("$correlation-id", "c"),
                    ("$user-id", "u"),
                    ("$.on", "out"),
                    ("$expiry-time", "2030-01-01T00:00:00Z"),
                    ("$interface", "i"),
                ],
            ),
            ("null&empty=&=v&&", &[("null", ""), ("empty", ""), ("", "v")]),
            ("plus=a+b&eq=a=b", &[("plus", "a+b"), ("eq", "a=b")]),
        ] {
            assert_eq!(read(bag), Ok(owned(expect)), "{bag}");
        }
        assert_eq!(read("a=%FF"), Err(BagError::NoText));
        assert_eq!(read("%FF=a"), Err(BagError::NoText));
        assert!(read(&"a=1&".repeat(MAX_PAIRS)).is_ok());
        assert_eq!(read(&"a=1&".repeat(MAX_PAIRS + 1)), Err(BagError::TooMany));
    }

    #[test]
    fn what_is_written_is_read() {
        for properties in [
            &[][..],
            &[("a", "1"), ("b/?#", "ü = & +%")],
            &[("$message-id", "7"), ("$.to", "/devices/lamp-1"), ("empty", "")],
        ] {
            let bag = write(properties.iter().copied());
            assert_eq!(read(&bag), Ok(owned(properties)), "{bag}");
            assert!(!bag.contains(['/', '#', '+', ' ']), "{bag}");
        }
    }
}
