//! Holds the source to the house's rules: which room may use which, and what stands in no file. The rules are explained
//! in ARCHITECTURE.md.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/limits.rs"]
mod limits;
#[path = "tidy/mqtt.rs"]
mod mqtt;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The rooms by rank. A room uses only rooms of lower ranks, those of its own rank that stand before it here, and itself:
/// so nothing goes round.
const RANKS: &[&[&str]] = &[
    &["model", "clock", "terminal", "log_limit", "metrics", "tasks", "builtins"],
    &["fairness", "lobby", "settings", "store", "tls"],
    &["registry", "twin", "outbox", "journal", "explain"],
    &["auth", "ingest", "timers", "engine", "plugin"],
    &["dispatch", "session", "topics", "proxy"],
    &["delivery", "dialect"],
    &["mqtt", "admin", "watch"],
    &["app", "bench", "cli", "commands", "fuzzing", "main"],
];

/// Longest file, lines.
const MOST_LINES: usize = 500;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are not in a workspace")
}

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

/// In the table, read row by row.
fn stands_before(one: &str, other: &str) -> bool {
    let place = |room| RANKS.iter().copied().flatten().position(|known| *known == room);
    place(one) < place(other)
}

/// Every Rust file below the folders, with its path from the workspace on.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| workspace().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(workspace()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

const ALL: &[&str] = &["host", "json", "plugin-sdk", "plugins", "tests"];

/// The code of a text: comments and what stands in quotes on one line are blanked, lines stay.
fn code(text: &str) -> String {
    text.lines().map(code_of_line).collect::<Vec<_>>().join("\n")
}

fn code_of_line(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line.char_indices();
    let mut quoted = false;
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' if quoted => drop(rest.next()),
            '\'' if !quoted && line[at + 1..].starts_with("\"'") => drop((rest.next(), rest.next())),
            '"' => quoted = !quoted,
            '/' if !quoted && line[at..].starts_with("//") => break,
            _ if !quoted => code.push(c),
            _ => {}
        }
    }
    code
}

/// The rooms that a text uses: the first part of every path that begins with `crate::`.
fn rooms_used(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric() || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(heads(group)),
            None => rooms.push(name(rest)),
        }
    }
    rooms
}

/// Each name that follows the prefix.
fn words_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
    code.match_indices(prefix).map(move |(at, _)| name(&code[at + prefix.len()..]))
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect()
}

/// The first part of each path in a group whose opening brace has been read.
fn heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut at_head) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && !c.is_whitespace() => {
                heads.push(name(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn paths_are_found_wherever_they_stand() {
    for (text, expected) in [
        ("use crate::model::Seq;", vec!["model"]),
        ("use crate::{\n    clock,\n    model::{Event, Seq},\n    store,\n};", vec!["clock", "model", "store"]),
        ("let now = crate::clock::now_ms(); // crate::admin\n", vec!["clock"]),
        ("\"crate::admin\"; $crate::bindings::x", vec![]),
        ("use self::crate_view; use crate::{self as host, mqtt}", vec!["self", "mqtt"]),
    ] {
        assert_eq!(rooms_used(&code(text)), expected, "{text}");
    }
}

#[test]
fn rooms_use_only_rooms_of_lower_ranks() {
    let mut wrong = Vec::new();
    for (path, text) in sources(&["host/src"]) {
        let inside = path.strip_prefix("host/src").unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "lib" {
            continue;
        }
        let Some(own) = rank(&room) else {
            wrong.push(format!("{}: the room {room} has no rank", path.display()));
            continue;
        };
        for used in rooms_used(&code(&text)) {
            match rank(&used) {
                _ if used == room => {}
                Some(other) if other < own || (other == own && stands_before(&used, &room)) => {}
                Some(other) => {
                    wrong.push(format!("{}: {room} (rank {own}) uses {used} (rank {other})", path.display()))
                }
                None => wrong.push(format!("{}: {room} uses {used}, which is no room with a rank", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The table in ARCHITECTURE.md says the same as the one here, as far as it goes.
#[test]
fn the_architecture_page_has_the_same_ranks() {
    let Ok(page) = fs::read_to_string(workspace().join("ARCHITECTURE.md")) else {
        return eprintln!("skipped: there is no ARCHITECTURE.md");
    };
    let mut rows = 0;
    for line in page.lines() {
        let mut cells = line.trim().trim_matches('|').split('|').map(str::trim);
        let Some((number, rooms)) = cells.next().and_then(|n| n.parse::<usize>().ok()).zip(cells.next()) else {
            continue;
        };
        rows += 1;
        for room in rooms.split('`').skip(1).step_by(2) {
            assert_eq!(rank(room), Some(number), "ARCHITECTURE.md gives {room} rank {number}");
        }
    }
    assert_eq!(rows, RANKS.len(), "ARCHITECTURE.md has no table of the ranks");
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources(ALL).into_iter().filter(|(_, text)| !text.trim_start().starts_with("//!")).collect();
    let silent: Vec<_> = silent.iter().map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "no //! at the top of {silent:?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources(ALL).into_iter().filter(|(_, text)| text.lines().count() > MOST_LINES).collect();
    let long: Vec<_> = long.iter().map(|(path, _)| path).collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

#[test]
fn what_stands_in_no_file() {
    let mut found = Vec::new();
    for (path, text) in sources(&["host/src", "plugin-sdk/src", "plugins"]) {
        let code = code(&text);
        for (words, allowed_in) in
            [("SystemTime::now", "host/src/clock.rs"), ("unbounded_channel", ""), ("todo!", ""), ("unimplemented!", "")]
        {
            if code.contains(words) && path != Path::new(allowed_in) {
                found.push(format!("{words} in {}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

/// Text of strangers reaches a terminal through `terminal.rs` alone, which takes the escape sequences out of it.
#[test]
fn one_file_prints() {
    let mut found = Vec::new();
    for (path, text) in sources(&["host/src"]) {
        let tests = path.to_str().unwrap().contains("tests");
        if path == Path::new("host/src/terminal.rs") || tests {
            continue;
        }
        let code = code(text.split("#[cfg(test)]").next().unwrap());
        for words in ["println!", "print!(", "io::stdout", "io::stderr", "stdout()", "stderr()"] {
            if code.contains(words) {
                found.push(format!("{words} in {}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "print with crate::terminal instead: {found:?}");
}
