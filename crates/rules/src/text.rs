//! Cuts texts from a guest to a few KiB where they enter, because they go to the log, the journal, the dead letters and the API. Pure.

use crate::limits::GUEST_TEXT_BYTES;

/// The text, or its beginning with a mark that says how long it was.
pub fn cut(text: String) -> String {
    if text.len() <= GUEST_TEXT_BYTES { text } else { beginning(&text) }
}

/// As [`cut`]; `None` if the text is short enough.
pub fn too_long(text: &str) -> Option<String> {
    (text.len() > GUEST_TEXT_BYTES).then(|| beginning(text))
}

fn beginning(text: &str) -> String {
    let end = text.floor_char_boundary(GUEST_TEXT_BYTES);
    format!("{}… (cut: it had {} bytes)", text.get(..end).unwrap_or_default(), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_beginning_and_says_that_it_was_cut() {
        let fits = "ä".repeat(GUEST_TEXT_BYTES / 2);
        assert_eq!(cut(fits.clone()), fits);
        assert_eq!(too_long(&fits), None);
        let long = format!("x{fits}");
        let text = cut(long.clone());
        assert!(text.starts_with("xää") && text.ends_with("ä… (cut: it had 4097 bytes)"), "{text}");
        assert!(text.len() <= GUEST_TEXT_BYTES + 64);
        assert_eq!(too_long(&long), Some(text));
    }
}
