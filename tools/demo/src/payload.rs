//! Reads payloads of the demo, and summarises them. Pure.

use serde_json::Value;

use switchbox_support::terminal;

/// Characters that are shown of an unknown payload.
const SHOWN_CHARS: usize = 100;

/// The `hops` of a record.
pub(super) fn hops(payload: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(payload).ok()?.get("hops")?.as_u64()
}

/// The `state` of a record.
pub(super) fn state(payload: &[u8]) -> Option<String> {
    Some(serde_json::from_slice::<Value>(payload).ok()?.get("state")?.as_str()?.to_owned())
}

/// A summary of a payload.
pub(super) fn summary(payload: &[u8]) -> String {
    if let Some(hops) = hops(payload) {
        return format!("hops {hops}");
    }
    match state(payload).as_deref() {
        Some("awake") => "● awake".to_owned(),
        Some("asleep") => "○ asleep".to_owned(),
        _ => shown(payload),
    }
}

/// Bytes as text, with control characters escaped.
fn shown(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    terminal::line(&shown).into_owned()
}
