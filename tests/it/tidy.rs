//! Holds the source to rules that cargo and clippy do not know. ARCHITECTURE.md explains them.

mod circles;
mod code;
pub(crate) mod deploy;
mod doc_examples;
mod entry_points;
mod fields;
mod functions;
mod import_graph;
mod imports;
mod limits;
mod links;
mod mqtt;
mod reference;
mod sans_io;
mod skips;
mod sleeps;
mod tasks;
mod use_paths;
mod words;

use self::code::code;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Longest file, lines.
const MAX_LINES: usize = 500;

/// Half of the files have at most as many lines.
const HALF: usize = 150;
/// Nine in ten files have fewer lines.
const NINE_IN_TEN: usize = 300;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are not in a workspace")
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

/// All that is ours.
const ALL: &[&str] = &["crates", "host", "plugin-sdk", "plugins", "tests", "tools"];

/// What ships.
const PRODUCT: &[&str] = &["crates", "host", "plugin-sdk/src", "plugins"];

/// Each name that follows the prefix.
fn words_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = String> + 'a {
    code.match_indices(prefix).map(move |(at, _)| name(&code[at + prefix.len()..]))
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect()
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources(ALL).into_iter().filter(|(_, text)| !text.trim_start().starts_with("//!")).collect();
    let silent: Vec<_> = silent.iter().map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "no //! at the top of {silent:?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources(ALL).into_iter().filter(|(_, text)| text.lines().count() > MAX_LINES).collect();
    let long: Vec<_> = long.iter().map(|(path, _)| path).collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:?}");
}

#[test]
fn most_files_are_short() {
    let mut lines: Vec<_> = sources(ALL).iter().map(|(_, text)| text.lines().count()).collect();
    lines.sort_unstable();
    let (half, nine_in_ten) = (lines[lines.len() / 2], lines[lines.len() * 9 / 10]);
    assert!(half <= HALF, "half of the files have more than {half} lines: at most {HALF}");
    assert!(nine_in_ten < NINE_IN_TEN, "one file in ten has {nine_in_ten} lines or more: fewer than {NINE_IN_TEN}");
}

#[test]
fn what_no_file_may_contain() {
    let mut found = Vec::new();
    for (path, text) in sources(PRODUCT) {
        let code = code(&text);
        for (words, allowed_in) in [
            ("SystemTime::now", "crates/support/src/clock.rs"),
            ("unbounded_channel", ""),
            ("todo!", ""),
            ("unimplemented!", ""),
        ] {
            if code.contains(words) && path != Path::new(allowed_in) {
                found.push(format!("{words} in {}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

/// Text from outside reaches a terminal through `terminal.rs` alone, which takes the escape sequences out of it.
#[test]
fn one_file_prints() {
    let mut found = Vec::new();
    for (path, text) in sources(&["crates", "host", "tools"]) {
        let tests = path.to_str().unwrap().contains("tests") || path.starts_with("crates/testing");
        // A build script talks to cargo on standard output.
        if path == Path::new("crates/support/src/terminal.rs") || tests || path.ends_with("build.rs") {
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
