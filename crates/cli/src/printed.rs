//! What commands print: answers on standard output, and errors as one text.

use std::io;

use anyhow::Context as _;

use switchbox_support::terminal;

/// The output of a command, and its exit code.
pub(super) struct Printed {
    pub(super) text: String,
    pub(super) code: u8,
}

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self { text, code: 0 }
    }
}

/// Prints a text. If the reader has closed the pipe, as `head` does, the program ends.
///
/// # Errors
///
/// Standard output cannot be written.
pub fn show(text: &str) -> anyhow::Result<()> {
    match terminal::print(text.trim_end_matches('\n')) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        printed => printed.context("standard output cannot be written"),
    }
}

/// The error and its causes as one text. A cause that its parent contains already is left out.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
