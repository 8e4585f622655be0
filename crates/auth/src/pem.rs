//! PEM texts as they come from files, from JSON and from environment variables: with a byte order mark, any line ends, other
//! sections and remarks around. Finds the sections; the error says what is wrong if there is none. Pure.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// What is wrong with a text that is to hold PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    #[error("there is no PEM in it (a line -----BEGIN …-----)")]
    None,
    #[error("this is a key of SSH; write it as PEM: ssh-keygen -e -m PKCS8 -f FILE")]
    Ssh,
    #[error("-----BEGIN {0}----- has no -----END {0}----- after it; was the text cut off?")]
    Unfinished(String),
    #[error("the text after -----BEGIN {0}----- is not base64")]
    Base64(String),
    #[error("the key is encrypted; take the pass phrase away: openssl pkey -in OLD -out NEW")]
    Encrypted,
}

/// One `-----BEGIN label-----` with what follows it.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) label: &'a str,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// A file's bytes as text, also where an editor or a shell of Windows wrote it as UTF-16. `None` if it is not text, such as DER.
#[must_use]
pub fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let wide = |rest: &[u8], of: fn([u8; 2]) -> u16| {
        let units = rest.as_chunks().0.iter().map(|pair| of(*pair));
        char::decode_utf16(units).collect::<Result<String, _>>().ok().map(Cow::Owned)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

/// All sections, in order; at least one.
pub(super) fn sections(text: &str) -> Result<Vec<Section<'_>>, PemError> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, body) = after.split_once(DASHES).ok_or(PemError::None)?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(&end).ok_or_else(|| PemError::Unfinished(shown(label)))?;
        found.push(Section { label, der: decode(label, body)? });
        rest = after;
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let ssh = ["ssh-", "ecdsa-sha2-", "---- BEGIN SSH2"].iter().any(|start| text.trim_start().starts_with(start));
    Err(if ssh { PemError::Ssh } else { PemError::None })
}

/// A label may be anything that a caller sends.
fn shown(label: &str) -> String {
    label.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn decode(label: &str, body: &str) -> Result<Zeroizing<Vec<u8>>, PemError> {
    if label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
        return Err(PemError::Encrypted);
    }
    // A line break that came through JSON or a shell twice is the two characters `\n`.
    let body: Zeroizing<String> = Zeroizing::new(body.replace("\\n", "").replace("\\r", ""));
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    STANDARD.decode(&*digits).map(Zeroizing::new).map_err(|_| PemError::Base64(shown(label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_however_the_text_was_carried() {
        let lines = "-----BEGIN A B-----\nAAEC\nAwQ=\n-----END A B-----\n";
        let one_line = lines.replace('\n', " ");
        let escaped = lines.replace('\n', "\\n");
        let windows = lines.replace('\n', "\r\n");
        let marked = format!("\u{feff}{lines}");
        let indented = lines.replace('\n', "\n    ");
        let remarks = format!("Certificate:\n  Data: 1\n{lines}# the end");
        for text in [lines, &one_line, &escaped, &windows, &marked, &indented, &remarks] {
            let found = sections(text).unwrap();
            assert_eq!((found[0].label, found[0].der.as_slice(), found.len()), ("A B", &[0, 1, 2, 3, 4][..], 1));
        }
        let two = format!("{lines}{}", lines.replace("A B", "C"));
        assert_eq!(sections(&two).unwrap().iter().map(|section| section.label).collect::<Vec<_>>(), ["A B", "C"]);
    }

    #[test]
    fn what_is_no_section_is_refused_by_its_kind() {
        for (text, expect) in [
            ("", PemError::None),
            ("-----BEGIN A", PemError::None),
            ("ssh-rsa AAAA me@here", PemError::Ssh),
            ("-----BEGIN A-----\nAAAA\n", PemError::Unfinished("A".into())),
            ("-----BEGIN A-----\nAAAA\n-----END B-----", PemError::Unfinished("A".into())),
            ("-----BEGIN A-----\n?\n-----END A-----", PemError::Base64("A".into())),
            ("-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END A-----", PemError::Encrypted),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----", PemError::Encrypted),
        ] {
            assert_eq!(sections(text).unwrap_err(), expect, "{text}");
        }
    }

    #[test]
    fn a_text_of_windows_is_read() {
        let wide: Vec<u8> = "\u{feff}key".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&wide).unwrap(), "key");
        let wide: Vec<u8> = "\u{feff}key".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text(&wide).unwrap(), "key");
        assert_eq!(text(b"key").unwrap(), "key");
        assert_eq!(text(&[0x30, 0x82]), None);
    }
}
