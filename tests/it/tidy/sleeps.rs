//! Holds tests to waiting for a condition or for a clock that they move themselves: one that sleeps says why it has to.

use std::{collections::BTreeSet, path::Path};

/// The comment that says why, on the line or in one of the lines before.
const REASON: &str = "// Sleeps ";
const LINES_BEFORE: usize = 3;

/// What of the file is a test: all of it, or what follows the beginning of its tests.
fn tests(path: &Path, text: &str) -> Option<usize> {
    let name = path.to_string_lossy();
    let whole = ["tests/", "crates/testing/", "tools/bench/tests/"].iter().any(|folder| name.starts_with(folder))
        && !name.starts_with("tests/guests/");
    if whole || name.contains("/tests/") || name.ends_with("tests.rs") {
        return Some(0);
    }
    let at = text.find("#[cfg(test)]\nmod tests {")?;
    Some(text[..at].lines().count())
}

/// Calls that sleep: by name; a timeout that has to pass, so that nothing comes before it; a loop that waits for nothing but the time.
fn sleeps(call: &str, arguments: &str, after: &str) -> bool {
    let after = after.trim_start();
    let after = after.strip_prefix(".await").map_or(after, str::trim_start);
    match call {
        "sleep(" | "sleep_until(" => true,
        "timeout(" => after.starts_with(".is_err()"),
        _ => ["elapsed() >", "elapsed() <"].iter().any(|compared| arguments.contains(compared)),
    }
}

/// The lines that sleep and do not say why.
fn unexplained(path: &Path, text: &str) -> Vec<usize> {
    let Some(first) = tests(path, text) else { return Vec::new() };
    let (lines, code): (Vec<_>, _) = (text.lines().collect(), super::code(text));
    let explained = |at: usize| lines[at.saturating_sub(LINES_BEFORE)..=at].iter().any(|line| line.contains(REASON));
    let line = |at: usize| code[..at].matches('\n').count();
    let mut found = BTreeSet::new();
    for call in ["sleep(", "sleep_until(", "timeout(", "until(", "until_within("] {
        let is_declared = |at: usize| code[..at].trim_end_matches(super::code::is_of_name).ends_with("fn ");
        for (at, _) in code.match_indices(call).filter(|(at, _)| !is_declared(*at)) {
            let rest = &code[at + call.len() - 1..];
            let (arguments, after) = rest.split_at(super::code::parenthesis_length(rest));
            if line(at) >= first && sleeps(call, arguments, after) && !explained(line(at)) {
                found.insert(line(at) + 1);
            }
        }
    }
    found.into_iter().collect()
}

#[test]
fn a_test_that_sleeps_says_why_it_neither_waits_for_a_condition_nor_pauses_time() {
    let mut bare = Vec::new();
    for (path, text) in super::sources(super::ALL) {
        let found = unexplained(&path, &text);
        bare.extend(found.into_iter().map(|line| format!("{}:{line}", path.display())));
    }
    assert!(
        bare.is_empty(),
        "wait for a condition (`until`), pause time (`tokio::time::pause`, `#[tokio::test(start_paused = true)]`), or write \
         `{REASON}` and the reason before it:\n{}",
        bare.join("\n")
    );
}

#[test]
fn waiting_for_the_time_alone_is_found_under_other_names() {
    for (text, found) in [
        ("assert!(timeout(SHORT, next()).await.is_err(), \"a change\");", true),
        ("assert!(\n    timeout(SHORT, next())\n        .await\n        .is_err()\n);", true),
        ("let next = timeout(SHORT, next()).await.unwrap();", false),
        ("until(\"its end\", || (sent.elapsed() > LIMIT).then_some(()));", true),
        ("until(\"its end\", || host.ended()); sent.elapsed() > LIMIT;", false),
        ("until(\"its end\", || host.ended().then(|| sent.elapsed()));", false),
        ("// Sleeps as nothing else tells.\nassert!(timeout(SHORT, next()).await.is_err());", false),
        ("fn timeout(a: u8) {}", false),
    ] {
        assert_eq!(!unexplained(Path::new("tests/it/a.rs"), text).is_empty(), found, "{text}");
    }
}

#[test]
fn a_sleep_without_a_reason_is_found_in_tests_alone() {
    let text = [
        "fn a() {",
        "    sleep(SHORT);",
        "}",
        "",
        "#[cfg(test)]",
        "mod tests {",
        "    thread::sleep(SHORT);",
        "    b();",
        "    // Sleeps as its device does.",
        "    tokio::time::sleep_until(then).await;",
        "}",
    ];
    let text = text.join("\n");
    for (path, expected) in [
        ("crates/mqtt/src/lib.rs", vec![7]),
        ("crates/mqtt/src/tests/lib.rs", vec![2, 7]),
        ("tests/src/lib.rs", vec![2, 7]),
        ("tests/guests/hostile/src/lib.rs", vec![7]),
    ] {
        assert_eq!(unexplained(Path::new(path), &text), expected, "{path}");
    }
}
