//! Checks the texts against the project's vocabulary: words that are no longer used, each with its replacement. The terms
//! that are used are in docs/glossary.md.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::code::is_of_name;

/// A word, and what to write instead. A word and its inflections are compared in lower case with each part of a name: `mend` is found in
/// `MendedFile` and in `mends_files`, but not in `commend`.
const NOT_USED: &[(&str, &str)] = &[
    ("aftermath", "session cleanup"),
    ("anothers", "the device's own, the attached device's"),
    ("anybody", "any client, any caller"),
    ("asker", "caller"),
    ("breathe", "yield to the scheduler"),
    ("carriers", "gateway routes"),
    ("chore", "control item"),
    ("claimant", "client, caller"),
    ("crowd", "many; too many"),
    ("dice", "random numbers, what is random"),
    ("drip", "send slowly"),
    ("errand", "request"),
    ("everybody", "every client, every caller"),
    ("farewell", "DISCONNECT"),
    ("feeder", "queue reader"),
    ("goodbye", "DISCONNECT, close frame"),
    ("hear", "be notified"),
    ("heard", "seen, notified, received"),
    ("keeper", "durable sessions"),
    ("lane", "stream, priority class"),
    ("legacy", "what it is: session cleanup, version 1"),
    ("lest", "so that … not"),
    ("linger", "wait for the client to close, yield"),
    ("lobby", "connection limits, admission"),
    ("mend", "repair, correct"),
    ("misdeed", "attack"),
    ("misspelt", "invalid"),
    ("narrator", "demo printer"),
    ("newcomer", "unauthenticated connection; in tests: reader"),
    ("obey", "carry out"),
    ("owe", "be in debt, have to send"),
    ("parcel", "delivery"),
    ("passer", "caller's address"),
    ("patience", "timeout, deadline, slow-consumer policy"),
    ("patient", "with a deadline"),
    ("pen", "segment writer"),
    ("puppet", "scripted guest"),
    ("rested", "was suspended, was stored"),
    ("resting", "suspended"),
    ("rests", "is suspended, is stored"),
    ("seats", "connection tasks"),
    ("somebody", "a client, a caller, an operator"),
    ("spares", "preallocated files"),
    ("starve", "wait"),
    ("stranger", "unauthenticated client, unknown caller"),
    ("sweep", "command expiry, cleanup"),
    ("untold", "not logged"),
    ("welcome", "accept, admit"),
    ("whoever", "the client, the caller, a component"),
    ("wish", "request"),
];

/// Phrases that say less than the plain words; compared in lower case, over line ends.
const PHRASES: &[(&str, &str)] = &[
    ("became of", "the result, the status"),
    ("come to rest", "written completely"),
    ("came of", "the effects, the result"),
    ("entry of the log", "entry of the journal"),
    ("go on", "continue, run"),
    ("goes on", "continues, runs"),
    ("let in", "accepted, connected, authenticated"),
    ("lets in", "accepts, connects"),
    ("should stand", "is expected"),
    ("stand here", "expected …"),
    ("stands twice", "occurs twice"),
];

/// Names that say neither what a value is nor what it is for. Code does not use them; texts may.
const NOT_NAMES: &[(&str, &str)] = &[
    ("asked", "requested, or what it is"),
    ("bad", "invalid"),
    ("came", "received, or what it is"),
    ("good", "valid, usable"),
    ("mine", "own"),
    ("noted", "recorded, reported"),
    ("ours", "own"),
    ("said", "what it is: printed, payload, properties"),
    ("spare", "preallocated, unused"),
    ("theirs", "other"),
    ("told", "what it is: line, response"),
    ("wanted", "requested, expected, matches"),
    ("who", "caller, client, subscriber"),
];

/// The files that are checked beside the pages.
const ENDINGS: &[&str] =
    &["rs", "toml", "wit", "py", "js", "cjs", "ts", "html", "css", "txt", "yml", "yaml", "sh", "service"];
const WITHOUT_ENDING: &[&str] = &[".ci/run", "fuzz/run", "deploy/container/Containerfile"];

/// Code that still has such words. Take a path out when it is clean; never add one.
const NOT_CLEAN: &[&str] = &[];

/// The parts of all names in the text, in lower case.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    for c in text.chars() {
        let ends = !c.is_alphabetic() || (c.is_uppercase() && word.chars().next_back().is_some_and(char::is_lowercase));
        if ends && !word.is_empty() {
            words.insert(std::mem::take(&mut word).to_lowercase());
        }
        if c.is_alphabetic() {
            word.push(c);
        }
    }
    words.insert(word.to_lowercase());
    words
}

/// The word with the endings of English verbs and nouns. Irregular forms are in the list themselves.
fn inflections(word: &str) -> Vec<String> {
    let mut all: Vec<_> = ["", "s", "es", "d", "ed", "ing"].map(|ending| format!("{word}{ending}")).into();
    match word.chars().next_back() {
        Some('e') => all.push(format!("{}ing", &word[..word.len() - 1])),
        Some('y') => all.extend(["ies", "ied"].map(|ending| format!("{}{ending}", &word[..word.len() - 1]))),
        Some(last) => all.extend(["ing", "ed"].map(|ending| format!("{word}{last}{ending}"))),
        None => {}
    }
    all
}

/// The text in lower case, with each run of blanks, line ends and comment marks as one blank.
fn plain(text: &str) -> String {
    let parts = text.split_whitespace().filter(|part| !["//", "///", "//!", "#"].contains(part));
    format!(" {} ", parts.collect::<Vec<_>>().join(" ").to_lowercase())
}

/// Each word or phrase that is not used, with what to write instead.
fn not_used(text: &str) -> Vec<String> {
    let (words, plain) = (words(text), plain(text));
    let phrase = |phrase: &str| {
        plain
            .match_indices(phrase)
            .any(|(at, _)| !plain[..at].ends_with(is_of_name) && !plain[at + phrase.len()..].starts_with(is_of_name))
    };
    let found = NOT_USED.iter().filter(|(word, _)| inflections(word).iter().any(|form| words.contains(form)));
    let found = found.chain(PHRASES.iter().filter(|(text, _)| phrase(text)));
    found.map(|(word, instead)| format!("{word:?} (write: {instead})")).collect()
}

/// Files with one of these endings below the folder, with their paths from the workspace on.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![super::workspace().join(folder)]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|expected| ending == *expected)) {
                found.push(path.strip_prefix(super::workspace()).unwrap().to_owned());
            }
        }
    }
    found
}

/// The text without the paths of files, which may have a name that is not clean yet.
fn without_paths(text: &str) -> String {
    let parts = text.split('`').filter(|part| !super::links::is_path(part));
    parts.collect::<Vec<_>>().join("`")
}

fn wrong_in(paths: &[PathBuf]) -> Vec<String> {
    let wrong = |path: &PathBuf| {
        let text = fs::read_to_string(super::workspace().join(path)).unwrap();
        not_used(&without_paths(&text))
            .into_iter()
            .map(|word| format!("{}: {word}", path.display()))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(wrong).collect()
}

/// The changelog describes earlier versions in the words of their time.
#[test]
fn the_pages_use_the_words_of_the_glossary() {
    let pages = super::links::pages();
    let pages: Vec<_> = pages.into_iter().filter(|page| page != Path::new("CHANGELOG.md")).collect();
    let wrong = wrong_in(&pages);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn clean_code_uses_the_words_of_the_glossary() {
    let unclean = |path: &Path| NOT_CLEAN.iter().any(|start| path.starts_with(start)) || path.ends_with(file!());
    let mut code = files("", ENDINGS);
    code.extend(WITHOUT_ENDING.iter().map(PathBuf::from));
    let (unclean, clean): (Vec<_>, Vec<_>) = code.into_iter().partition(|path| unclean(path));
    let wrong = wrong_in(&clean);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for start in NOT_CLEAN {
        let below: Vec<_> = unclean.iter().filter(|path| path.starts_with(start)).cloned().collect();
        assert!(!wrong_in(&below).is_empty(), "{start} is clean: take it out of NOT_CLEAN in {}", file!());
    }
}

/// Fields of log lines have names of their own.
#[test]
fn names_in_code_say_what_they_name() {
    let mut wrong = Vec::new();
    for (path, text) in super::sources(super::ALL) {
        let code = super::code(&text);
        for (at, line) in code.lines().enumerate().filter(|(_, line)| !line.contains("tracing::")) {
            let names = line.split(|c: char| !is_of_name(c));
            let found = names.filter_map(|name| NOT_NAMES.iter().find(|(word, _)| name == *word));
            let shown =
                |(word, instead): &(&str, &str)| format!("{}:{}: {word:?} (write: {instead})", path.display(), at + 1);
            wrong.extend(found.map(shown));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn words_are_found_in_names_and_not_within_words() {
    for (text, found) in [("let Lobby = 1;", true), ("lobbyist", false), ("enter_lobby()", true), ("theLobby", true)] {
        assert_eq!(not_used(text).is_empty(), !found, "{text}");
    }
    for (text, found) in
        [("it mended", true), ("Dripping", true), ("obeyed", true), ("breathing", true), ("commend", false)]
    {
        assert_eq!(not_used(text).is_empty(), !found, "{text}");
    }
    for (text, found) in [("// It was let\n// in.", true), ("let in_force = 1;", false), ("outlet in", false)] {
        assert_eq!(not_used(text).is_empty(), !found, "{text}");
    }
}
