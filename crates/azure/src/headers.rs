//! Properties of a message as HTTP headers, for devices that send and fetch messages. System properties have headers of their own;
//! application properties have the prefix `iothub-app-`.

use std::borrow::Cow;

use switchbox_model::{Property, event::about};

use crate::url_encoding::encode;

const APPLICATION: &str = "iothub-app-";

/// Headers of the system properties, with the host's names.
const NAMES: [(&str, &str); 7] = [
    ("iothub-messageid", about::MESSAGE_ID),
    ("iothub-correlationid", about::CORRELATION_ID),
    ("iothub-userid", about::USER_ID),
    ("iothub-contenttype", about::CONTENT_TYPE),
    ("iothub-contentencoding", about::CONTENT_ENCODING),
    ("iothub-creationtimeutc", about::CREATION_TIME),
    ("dt-subject", about::COMPONENT),
];

/// The property in a header; `name` is in lower case. Returns `None` if the header is not a property.
#[must_use]
pub fn read(name: &str, value: &[u8]) -> Option<Property> {
    let name = match name.strip_prefix(APPLICATION) {
        Some("") => return None,
        Some(name) => name,
        None => NAMES.iter().find(|(header, _)| *header == name).map(|(_, own)| *own)?,
    };
    Some((name.to_owned(), text(value)))
}

/// Decodes UTF-8, and ISO 8859-1 if the bytes are not UTF-8: clients differ.
fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

/// The header for a property, in lower case. Returns `None` for a system property without a header. Characters that a header cannot
/// contain are percent-encoded.
#[must_use]
pub fn write<'a>(name: &str, value: &'a str) -> Option<(String, Cow<'a, str>)> {
    let header = match NAMES.iter().find(|(_, own)| *own == name) {
        Some((header, _)) => (*header).to_owned(),
        None if about::is_name(name) => return None,
        None if name.bytes().all(is_token) => format!("{APPLICATION}{}", name.to_ascii_lowercase()),
        None => format!("{APPLICATION}{}", encode(name).to_string().to_ascii_lowercase()),
    };
    let is_plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value;
    Some((header, if is_plain { Cow::Borrowed(value) } else { Cow::Owned(encode(value).to_string()) }))
}

/// Whether the byte may be part of a header's name.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_written() {
        for (header, value, name) in [
            ("iothub-messageid", "7", "$message-id"),
            ("iothub-contenttype", "application/json", "$content-type"),
            ("iothub-app-room", "hall", "room"),
        ] {
            assert_eq!(read(header, value.as_bytes()), Some((name.to_owned(), value.to_owned())));
            assert_eq!(write(name, value), Some((header.to_owned(), value.into())));
        }
        for header in ["iothub-app-", "iothub-to", "content-type", "authorization"] {
            assert_eq!(read(header, b"x"), None, "{header}");
        }
    }

    #[test]
    fn signs_that_a_header_does_not_have_are_written_otherwise() {
        assert_eq!(read("iothub-app-a", "é".as_bytes()).unwrap().1, "é");
        assert_eq!(read("iothub-app-a", b"\xe9").unwrap().1, "é");
        assert_eq!(write("sev erity", "a\r\nb"), Some(("iothub-app-sev%20erity".to_owned(), "a%0D%0Ab".into())));
        assert_eq!(write("Room", " é"), Some(("iothub-app-room".to_owned(), "%20%C3%A9".into())));
        assert_eq!(write("$on", "x"), None);
    }
}
