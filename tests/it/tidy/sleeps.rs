//! Holds tests to waiting for a condition or for a clock that they move themselves: one that sleeps says why it has to.

use std::path::Path;

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

/// The lines that sleep and do not say why.
fn unexplained(path: &Path, text: &str) -> Vec<usize> {
    let Some(first) = tests(path, text) else { return Vec::new() };
    let (lines, code): (Vec<_>, _) = (text.lines().collect(), super::code(text));
    let explained = |at: usize| lines[at.saturating_sub(LINES_BEFORE)..=at].iter().any(|line| line.contains(REASON));
    let sleeps =
        |line: &str| ["sleep(", "sleep_until("].iter().any(|call| line.contains(call)) && !line.contains("fn ");
    let found = code.lines().enumerate().skip(first).filter(|(at, line)| sleeps(line) && !explained(*at));
    found.map(|(at, _)| at + 1).collect()
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
