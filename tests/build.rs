//! Builds the guests that the tests run. Never builds what ships.

use switchbox_guest_builder::{Component, build_or_stop};

fn main() {
    build_or_stop(
        &[
            "tests/guests/caller",
            "tests/guests/counter",
            "tests/guests/deputy",
            "tests/guests/hostile",
            "tests/guests/migrant",
            "tests/guests/scripted",
        ],
        |components: &[Component]| {
            for component in components {
                let name = component.name.to_uppercase().replace('-', "_");
                println!("cargo::rustc-env=GUEST_{name}={}", component.path.display());
            }
            Ok::<(), String>(())
        },
    );
}
