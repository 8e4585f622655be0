//! Reads a gateway's attach message (docs/devices.md, "Gateways"). Pure.

use serde::Deserialize;

/// Unknown fields are ignored.
#[derive(Deserialize)]
struct Attach {
    authorization: Option<String>,
}

/// The device's token, if there is one. The error text is for the gateway.
pub fn token(payload: &[u8]) -> Result<Option<String>, &'static str> {
    if payload.is_empty() {
        return Ok(None);
    }
    // The parser's error text is not used, because it could contain a part of the token.
    let attach: Attach = serde_json::from_slice(payload)
        .map_err(|_| "the payload must be empty, {} or {\"authorization\": \"JWT\"}, and this is neither")?;
    Ok(attach.authorization.filter(|token| !token.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attach_message_is_empty_or_an_object_with_a_token() {
        for (payload, expect) in [
            ("", Some(None)),
            ("{}", Some(None)),
            (r#"{"authorization": "a.b.c"}"#, Some(Some("a.b.c"))),
            (r#"{"authorization": "a.b.c", "more": 1}"#, Some(Some("a.b.c"))),
            (r#"{"authorization": ""}"#, Some(None)),
            (r#"{"authorization": null}"#, Some(None)),
            (r#"{"authorization": 7}"#, None),
            (r#""a.b.c""#, None),
            ("a.b.c", None),
            ("[]", None),
            ("{", None),
        ] {
            let found = token(payload.as_bytes());
            assert_eq!(found.as_ref().ok().map(Option::as_deref), expect, "{payload}");
            assert!(found.err().is_none_or(|text| !text.contains("a.b.c")), "{payload}");
        }
    }
}
