//! The one place that writes to standard output and standard error. What devices, callers and plugins sent may contain escape
//! sequences and characters that change the direction of the text. On a terminal these are shown as escapes. Into a pipe or a file
//! every byte is written as it is, but line ends in what takes one line.

use std::{
    borrow::Cow,
    env,
    hash::{BuildHasher as _, RandomState},
    io::{self, IsTerminal as _, Write},
    sync::OnceLock,
};

use unicode_width::UnicodeWidthChar as _;

/// Narrower terminals are treated as if they were this wide.
const MIN_WIDTH: usize = 40;

/// Whether a terminal would do something other than show the character in its place: control characters (C0, DEL,
/// C1), those that change the direction of writing, other line ends, and text that is never shown.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped<'t>(text: &'t str, keeps: &[char], escape: impl Fn(&mut String, char)) -> Cow<'t, str> {
    let is_shown = |c: char| !acts(c) || keeps.contains(&c);
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_shown(c) { shown.push(c) } else { escape(&mut shown, c) }
    }
    Cow::Owned(shown)
}

fn as_in_rust(shown: &mut String, c: char) {
    match c {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        c => shown.extend(c.escape_unicode()),
    }
}

fn as_in_json(shown: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        shown.push_str(&format!("\\u{unit:04x}"));
    }
}

/// Text of several lines, with nothing in it that acts on a terminal but line feeds and tabs.
#[must_use]
pub fn block(text: &str) -> Cow<'_, str> {
    escaped(text, &['\n', '\t'], as_in_rust)
}

/// Text on one line, with nothing in it that acts on a terminal.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, &[], as_in_rust)
}

/// JSON with the same meaning, without characters that act on a terminal: outside of strings, JSON has only line feeds, tabs and
/// carriage returns of those.
fn json(text: &str) -> Cow<'_, str> {
    escaped(text, &['\n', '\t', '\r'], as_in_json)
}

/// Whether standard output is a terminal. False in unit tests, so that their results do not depend on it.
#[must_use]
pub fn is_terminal() -> bool {
    !cfg!(test) && io::stdout().is_terminal()
}

/// The columns of the terminal. Returns `None` if standard output is not a terminal.
#[must_use]
pub fn width() -> Option<usize> {
    let columns = || terminal_size::terminal_size().map_or(80, |(terminal_size::Width(columns), _)| columns);
    is_terminal().then(|| usize::from(columns()).max(MIN_WIDTH))
}

/// How text is set off on a terminal with colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Style {
    /// As in an escape sequence, two characters each.
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "01",
            Self::Dim => "02",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
        }
    }
}

const PLAIN: &str = "00";

/// Whether colours are wanted at all, as <https://no-color.org> has it.
fn wants_colours() -> bool {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Stands before the two characters of a style until the text is printed. Text from outside cannot contain it: it begins with a character
/// that Unicode leaves unassigned, and continues with random characters of this process.
fn mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| format!("\u{fdd0}{:016x}", RandomState::new().hash_one(0)))
}

/// Sets text off when standard output is a terminal with colours; [`print`] makes it so.
#[must_use]
pub fn paint(text: &str, style: Style) -> Cow<'_, str> {
    let colours = is_terminal() && wants_colours();
    if colours { Cow::Owned(marked(text, style)) } else { Cow::Borrowed(text) }
}

fn marked(text: &str, style: Style) -> String {
    let mark = mark();
    format!("{mark}{}{text}{mark}{PLAIN}", style.code())
}

/// Text for a terminal: what acts is escaped, and what was painted is in its colour.
fn coloured(text: &str) -> String {
    let mut pieces = text.split(mark());
    let mut shown = block(pieces.next().unwrap_or_default()).into_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(PLAIN.len()).unwrap_or((PLAIN, piece));
        shown.push_str(&format!("\u{1b}[{code}m{}", block(rest)));
    }
    shown
}

/// What takes one line of the output. It has no line ends, so that a text of a device cannot pass for lines of others.
#[must_use]
pub fn piece(text: &str) -> Cow<'_, str> {
    if is_terminal() { line(text) } else { one_line(text) }
}

fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) {
        Cow::Owned(text.replace('\n', "\\n").replace('\r', "\\r"))
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON for output: on a terminal, characters that act there are escaped in JSON's own way.
#[must_use]
pub fn json_piece(text: &str) -> Cow<'_, str> {
    if is_terminal() { json(text) } else { Cow::Borrowed(text) }
}

/// The columns that the text takes up. Characters are counted one by one.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The longest beginning of the text that fits, and the rest of it. It goes forward by a character in any case.
#[must_use]
pub fn split_at_width(text: &str, width: usize) -> (&str, &str) {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > width && at > 0 {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// Prints text and a line end.
pub fn print(text: &str) -> io::Result<()> {
    let shown = if is_terminal() { Cow::Owned(coloured(text)) } else { Cow::Borrowed(text) };
    write(io::stdout().lock(), &shown)
}

/// Prints text and a line end on standard error.
pub fn print_error(text: &str) -> io::Result<()> {
    let shown = if io::stderr().is_terminal() { block(text) } else { Cow::Borrowed(text) };
    write(io::stderr().lock(), &shown)
}

fn write(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Standard output without any escaping: for bytes that are not text, and for text that the caller has escaped and coloured.
#[must_use]
pub fn raw() -> Box<dyn Write + Send> {
    Box::new(io::stdout())
}

/// Standard error for the log, and whether it is a terminal with colours.
#[must_use]
pub fn log() -> (io::Stderr, bool) {
    (io::stderr(), io::stderr().is_terminal() && wants_colours())
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::Config};

    use super::*;

    #[test]
    fn a_text_in_a_pipe_takes_one_line_and_is_else_as_it_is() {
        assert_eq!(one_line("a\nb\r\nc\td"), "a\\nb\\r\\nc\td");
        assert!(matches!(one_line("\u{1b}[2J"), Cow::Borrowed("\u{1b}[2J")));
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown_instead() {
        for (text, on_one_line, as_json) in [
            ("plain, grün, 中文, 😀", "plain, grün, 中文, 😀", "plain, grün, 中文, 😀"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}", "\\u001b[31mred\\u0007"),
            ("\u{9b}31m\u{7f}\0", "\\u{9b}31m\\u{7f}\\u{0}", "\\u009b31m\\u007f\\u0000"),
            ("safe\u{202e}exe.txt", "safe\\u{202e}exe.txt", "safe\\u202eexe.txt"),
            ("\u{2066}a\u{2069}\u{200f}", "\\u{2066}a\\u{2069}\\u{200f}", "\\u2066a\\u2069\\u200f"),
            ("a\u{e0041}", "a\\u{e0041}", "a\\udb40\\udc41"),
        ] {
            assert_eq!((line(text), block(text), json(text)), (on_one_line.into(), on_one_line.into(), as_json.into()));
        }
        assert_eq!((line("a\n\tb\r"), block("a\n\tb\r")), ("a\\n\\tb\\r".into(), "a\n\tb\\r".into()));
    }

    #[test]
    fn only_what_was_painted_here_is_in_colour() {
        let text = format!("{} \u{1b}[31m \u{fdd0}31 x", marked("broken\u{7}", Style::Red));
        assert_eq!(coloured(&text), "\u{1b}[31mbroken\\u{7}\u{1b}[00m \\u{1b}[31m \u{fdd0}31 x");
    }

    proptest! {
        #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(256) })]

        #[test]
        fn nothing_acts_any_more(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(acts));
            prop_assert!(!block(&text).chars().any(|c| acts(c) && !"\n\t".contains(c)));
            let written = serde_json::to_string(&text).unwrap();
            let shown = json(&written);
            prop_assert!(!shown.chars().any(acts));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }

        #[test]
        fn text_is_split_without_loss(text in any::<String>(), width in 0_usize..20) {
            let (first, rest) = split_at_width(&text, width);
            prop_assert_eq!([first, rest].concat(), text.clone());
            prop_assert!(!first.is_empty() || text.is_empty());
            prop_assert!(columns(first) <= width || first.chars().count() == 1, "{first} is wider than {width}");
        }
    }
}
