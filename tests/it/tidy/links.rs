//! Checks the references of the pages: a link leads to a file, and to a heading in it; a path in a text exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every page that a reader may come to, with its path from the workspace on.
pub(crate) fn pages() -> Vec<PathBuf> {
    let folders = ["", "docs", "tests", "plugins/garage-door", "plugins/hop-relay", "plugins/motion-alert"];
    let more = ["plugins/night-restart", "plugins/switch-wakes-device", "plugins/thermostat"];
    let mut found = Vec::new();
    for folder in folders.iter().chain(&more) {
        for entry in fs::read_dir(super::workspace().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path.strip_prefix(super::workspace()).unwrap().to_owned());
            }
        }
    }
    assert!(found.len() > 20, "only {} pages were found", found.len());
    found
}

fn text_of(page: &Path) -> String {
    fs::read_to_string(super::workspace().join(page)).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The text without blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// As GitHub makes the anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}

fn has_heading(page: &Path, heading_anchor: &str) -> bool {
    let text = prose(&text_of(page));
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).any(|found| found == heading_anchor)
}

/// Returns `None` if it leads somewhere.
fn broken(page: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return None;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let to = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if !super::workspace().join(&to).exists() {
        return Some(format!("{}: {link} leads to no file", page.display()));
    }
    (!heading.is_empty() && !has_heading(&to, heading))
        .then(|| format!("{}: {link} leads to no heading", page.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = prose(&text_of(&page));
        wrong.extend(links(&text).filter_map(|link| broken(&page, link)));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Pages for engineers name files; when a file moves, the page has to be changed.
#[test]
fn every_path_on_the_pages_about_the_code_is_there() {
    let mut wrong = Vec::new();
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "tests/README.md", "docs/internals.md", "docs/decisions.md"] {
        let text = prose(&text_of(Path::new(page)));
        let paths = text.split('`').skip(1).step_by(2).filter(|word| is_path(word));
        let missing = paths.filter(|path| !super::workspace().join(path).exists());
        wrong.extend(missing.map(|path| format!("{page}: {path} is not there")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A longer cell is a section.
const CELL_CHARS: usize = 200;

#[test]
fn no_cell_of_a_table_is_too_long() {
    let mut wrong = Vec::new();
    // The page of the calls is made from the code: a call has as many parameters as it has.
    let as_long_as_it_is = ["CHANGELOG.md", "docs/http-calls.md", "docs/commands.md"].map(Path::new);
    for page in pages().into_iter().filter(|page| !as_long_as_it_is.contains(&page.as_path())) {
        let text = prose(&text_of(&page));
        let cells = text.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split(" | "));
        let long = cells.filter(|cell| cell.chars().count() > CELL_CHARS);
        wrong.extend(long.map(|cell| format!("{}: {cell}", page.display())));
    }
    assert!(wrong.is_empty(), "more than {CELL_CHARS} characters:\n{}", wrong.join("\n"));
}

/// `host/src/main.rs`, `docs/`: it begins with a folder of the workspace.
pub(crate) fn is_path(word: &str) -> bool {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    let first = word.split('/').next().unwrap_or_default();
    let generated = word.starts_with("target/") || word.starts_with(".ci/tools");
    plain && word.contains('/') && !generated && !first.is_empty() && super::workspace().join(first).is_dir()
}

#[test]
fn anchors_are_those_of_github() {
    for (heading, expected) in [("A full disk", "a-full-disk"), ("`x.y`, and z?", "xy-and-z")] {
        assert_eq!(anchor(heading), expected);
    }
    assert!(is_path("docs/README.md") && !is_path("/healthz") && !is_path("cargo test") && !is_path("target/debug"));
}
