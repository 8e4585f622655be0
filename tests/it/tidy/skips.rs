//! Holds tests to one way of being skipped: by `is_available`, which fails on CI, or by `skip_on_this_system`, for what no installation helps
//! with.

use std::path::Path;

/// The file that has both.
const PLACE: &str = "crates/testing/src/tools.rs";

/// The calls of `skip_on_this_system`: the file, the reason that it prints, and why no installed tool could help.
const SYSTEM: &[(&str, &str, &str)] = &[
    (
        "tests/it/credentials.rs",
        "this system leaves no core dumps at all",
        "the kernel's core_pattern, and limits of the container, decide that",
    ),
    (
        "tests/it/credentials.rs",
        "the memory of another process cannot be read here",
        "the kernel's ptrace_scope, and the capabilities of the container, decide that",
    ),
    (
        "tests/it/upkeep/disk.rs",
        "a disk that fails takes root and loop devices",
        "the user and the devices of the machine; mkfs.ext4 is checked before by is_available",
    ),
];

#[test]
fn no_test_is_skipped_by_other_means_than_those_that_know_of_ci() {
    // In two pieces, so that it is not found here.
    let word = ["\"ski", "pped:"].concat();
    let sources = super::sources(super::ALL);
    let says = |path: &Path, text: &str| path != Path::new(PLACE) && text.contains(&word);
    let found: Vec<_> = sources.iter().filter(|(path, text)| says(path, text)).map(|(path, _)| path).collect();
    assert!(found.is_empty(), "use `switchbox_testing::is_available` or `skip_on_this_system` in {found:?}");
    assert!(
        sources.iter().any(|(path, text)| path == Path::new(PLACE) && text.contains(&word)),
        "{PLACE} says nothing"
    );
}

/// The reasons of all calls of `skip_on_this_system` in the text; the code of an argument that is not a literal.
fn reasons(text: &str) -> Vec<String> {
    let code = super::code(text);
    let calls = code.match_indices("skip_on_this_system(").filter(|(at, _)| !code[..*at].ends_with("fn "));
    let reason = |(at, call): (usize, &str)| {
        // The code has as many characters as the text, but not as many bytes.
        let argument: String = text.chars().skip(code[..at + call.len()].chars().count()).collect();
        let argument = argument.trim_start();
        let literal = argument.strip_prefix('"').and_then(|rest| rest.split('"').next());
        literal.unwrap_or_else(|| argument.lines().next().unwrap_or_default()).to_owned()
    };
    calls.map(reason).collect()
}

#[test]
fn a_test_is_skipped_on_ci_only_for_what_no_tool_could_change() {
    let mut found = Vec::new();
    for (path, text) in super::sources(super::ALL) {
        let path = path.to_str().unwrap().to_owned();
        found.extend(reasons(&text).into_iter().map(|reason| (path.clone(), reason)));
    }
    let listed = |path: &str, reason: &str| SYSTEM.iter().any(|(file, why, _)| (*file, *why) == (path, reason));
    let wrong: Vec<_> = found.iter().filter(|(path, reason)| !listed(path, reason)).collect();
    assert!(wrong.is_empty(), "use `is_available` if a tool is missing, or list the reason in {}: {wrong:?}", file!());
    let is_used = |file: &str, why: &str| found.iter().any(|(path, reason)| path == file && reason == why);
    let unused: Vec<_> = SYSTEM.iter().filter(|(file, why, _)| !is_used(file, why)).collect();
    assert!(unused.is_empty(), "no test is skipped so; take it out of {}: {unused:?}", file!());
}

#[test]
fn reasons_are_found_in_calls_alone() {
    let text = "use a::skip_on_this_system;\n// skip_on_this_system(\"x\")\nskip_on_this_system(\n  \"no y\",\n);\n\
                skip_on_this_system(z);\npub fn skip_on_this_system(why: &str) {}\n";
    assert_eq!(reasons(text), ["no y", "z);"]);
}
