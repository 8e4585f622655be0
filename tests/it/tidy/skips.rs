//! Holds tests to one way of being skipped: by `is_available`, which fails on CI, or by `skip_on_this_system`, for what no installation helps
//! with.

use std::path::Path;

/// The file that has both.
const PLACE: &str = "crates/testing/src/tools.rs";

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
