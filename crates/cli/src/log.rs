//! The log on standard error: one line for each event, with control characters escaped.

use std::io::{self, Stderr, Write};

use tracing_subscriber::EnvFilter;

use super::exit::wrong;
use switchbox_support::terminal;

/// `filter`: as in `RUST_LOG`, which is used if it is `None`.
pub fn start(filter: Option<&str>, default: &str) -> anyhow::Result<()> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let filter = filter.or(from_environment.as_deref()).unwrap_or(default);
    let filter = EnvFilter::try_new(filter).map_err(|e| wrong(format!("--log {filter}: {e}")))?;
    let colours = terminal::log().1;
    let writer = move || OneLine { out: terminal::log().0, colours };
    // The library would report such an error with `eprintln!`, which panics where standard error cannot be written.
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    log.with_env_filter(filter).with_writer(writer).with_ansi(colours).init();
    Ok(())
}

/// Gets each event as one piece. Events contain text of clients: a line end in it would look like the end of the event, and other
/// control characters would act on a terminal. An event that cannot be written is lost: the program continues without its log.
struct OneLine<W = Stderr> {
    out: W,
    /// The text contains the library's own escape sequences for colours. The library escapes others only in some places.
    colours: bool,
}

/// Escapes control characters, except changes of colour.
fn escape_except_colours(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut shown = terminal::line(pieces.next().unwrap_or_default()).into_owned();
    for piece in pieces {
        shown.push_str(if is_colour(piece) { "\u{1b}" } else { "\\u{1b}" });
        shown.push_str(&terminal::line(piece));
    }
    shown
}

/// Whether the text after an escape character makes text plain, bold, dim, italic or of one of eight colours.
fn is_colour(piece: &str) -> bool {
    let code = piece.strip_prefix('[').and_then(|rest| rest.split_once('m')).map(|(code, _)| code);
    matches!(code, Some("0" | "1" | "2" | "3" | "30" | "31" | "32" | "33" | "34" | "35" | "36" | "37"))
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (text, end) = event.strip_suffix(b"\n").map_or((event, &b""[..]), |text| (text, b"\n"));
        let text = String::from_utf8_lossy(text);
        let shown = if self.colours { escape_except_colours(&text) } else { terminal::line(&text).into_owned() };
        let _ = self.out.write_all(&[shown.as_bytes(), end].concat());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.out.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        for (event, written) in [
            ("INFO quiet\n", "INFO quiet\n"),
            ("WARN refused: a\nERROR forged\r\n", "WARN refused: a\\nERROR forged\\r\n"),
            ("\u{9b}31m\u{202e}\n", "\\u{9b}31m\\u{202e}\n"),
            ("no end", "no end"),
            ("\n", "\n"),
        ] {
            let mut line = OneLine { out: Vec::new(), colours: false };
            line.write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(line.out).unwrap(), written);
        }
    }

    /// A pipe without a reader.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn an_event_that_cannot_be_written_is_lost_without_an_error() {
        let mut line = OneLine { out: Closed, colours: false };
        line.write_all(b"INFO lost\n").unwrap();
        line.flush().unwrap();
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_logged_does_not_act_on_a_terminal_which_has_its_colours_all_the_same() {
        for colours in [true, false] {
            let page = Page::default();
            let out = page.clone();
            let writer = move || OneLine { out: out.clone(), colours };
            let log = tracing_subscriber::fmt().with_writer(writer).with_ansi(colours).without_time().finish();
            let evil = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}\nERROR forged";
            tracing::subscriber::with_default(log, || {
                tracing::warn!(client = evil, shown = %evil, debug = ?evil, "refused: {evil}");
            });
            let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert!(text.split('\u{1b}').skip(1).all(is_colour), "{text:?}");
            assert_eq!(text.contains('\u{1b}'), colours);
            assert!(
                !text.trim_end().chars().any(|c| c != '\u{1b}' && c.is_control()) && !text.contains('\u{202e}'),
                "{text:?}"
            );
        }
    }
}
