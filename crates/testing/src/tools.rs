//! What a test needs of the machine that it runs on. A test that lacks a tool is skipped with a message, but fails with `CI=true`, because
//! `.ci/run` installs all tools. A test of what the system does not allow is skipped everywhere.

use std::env;

/// Whether the tool is installed. If not, the test is skipped.
///
/// # Panics
///
/// Panics if it is not there and `CI` is `true`.
#[must_use]
pub fn is_available(what: &str, found: bool) -> bool {
    let on_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !on_ci, "{what} is not there; .ci/run installs it");
    if !found {
        print_skip(&format!("{what} is not there; .ci/run installs it"));
    }
    found
}

/// The system itself does not permit what the test does, wherever it runs. Prints the reason.
pub fn skip_on_this_system(why: &str) {
    print_skip(why);
}

fn print_skip(why: &str) {
    eprintln!("skipped: {why}");
}
