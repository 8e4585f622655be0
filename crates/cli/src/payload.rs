//! Data for the API and from it: how users give it, and how it is shown.

use std::{io::Read as _, path::Path};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use switchbox_admin_api::Base64;

/// Data as users give it: the text itself, `@FILE`, or `-` for standard input.
pub(super) fn data(text: &str) -> anyhow::Result<Vec<u8>> {
    match text.strip_prefix('@') {
        Some(file) => std::fs::read(Path::new(file)).with_context(|| format!("{file} cannot be read")),
        None if text == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
            Ok(bytes)
        }
        None => Ok(text.as_bytes().to_vec()),
    }
}

/// Bytes of the API for users: as text, if they are text.
pub(super) fn shown(value: Option<&Value>) -> anyhow::Result<String> {
    let Some(text) = value.and_then(Value::as_str) else { return Ok(String::new()) };
    let bytes = STANDARD.decode(text).context("the host's answer is not base64")?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|_| format!("base64:{text}")))
}

/// Shows bytes in the same way.
pub(super) fn readable(bytes: Option<&Base64>) -> String {
    let Some(Base64(bytes)) = bytes else { return String::new() };
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| format!("base64:{}", STANDARD.encode(bytes)))
}
