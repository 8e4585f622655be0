//! The cargo inside the cargo: same program, same workspace, same lock file, but a target folder and an environment of
//! its own.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    error::Error,
    guest::{PROFILE, RUSTFLAGS, TARGET},
};

/// What of the outer build's `CARGO_…` holds for the inner one too: where crates come from, how much of the machine it
/// may use, how it prints.
const KEPT: &[&str] = &[
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// Other variables that the outer build sets for itself: clippy's and rustdoc's wrappers, flags for the host's processor.
const DROPPED: &[&str] =
    &["CLIPPY_ARGS", "CLIPPY_CONF_DIR", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTDOCFLAGS", "RUSTFLAGS"];

/// `guests` in the target folder of the outer build. Cargo locks a folder per profile, so a nested build in the same target folder
/// would wait forever for a `--profile guest` that started it.
pub(crate) fn target_dir(out_dir: &Path) -> PathBuf {
    let marked = out_dir.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.unwrap_or(out_dir).join("guests")
}

/// Builds the packages, in one run of cargo.
pub(crate) fn build(workspace: &Path, target_dir: &Path, packages: &[&str]) -> Result<(), Error> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    // The outer cargo has made the lock file fit: nothing is left to resolve, so `--locked` needs no index either.
    let mut arguments = vec!["build", "--locked", "--lib", "--target", TARGET, "--profile", PROFILE];
    for package in packages {
        arguments.extend(["--package", package]);
    }

    let mut command = Command::new(&cargo);
    command.args(&arguments).arg("--target-dir").arg(target_dir).current_dir(workspace);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| !passes(name)) {
            command.env_remove(&name);
        }
    }
    // Set, so the flags of a cargo config for the host's linker or processor do not count either.
    command.env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS);
    // A build script's standard output is for instructions to cargo.
    command.stdin(Stdio::null()).stdout(Stdio::null());

    let status = command.status().map_err(|source| Error::Run { program: cargo, source })?;
    if status.success() { Ok(()) } else { Err(Error::Build { command: format!("cargo {}", arguments.join(" ")) }) }
}

/// Whether a variable of the outer build's environment is for the inner build too.
fn passes(name: &str) -> bool {
    let of_cargo = name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
    !of_cargo && !DROPPED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_builds_settings_stay_outside() {
        for (name, expected) in [
            ("PATH", true),
            ("HOME", true),
            ("RUSTUP_TOOLCHAIN", true),
            ("RUSTC", true),
            ("CARGO", true),
            ("CARGO_HOME", true),
            ("CARGO_NET_OFFLINE", true),
            ("CARGO_MAKEFLAGS", true),
            ("CARGO_REGISTRIES_MINE_INDEX", true),
            ("CARGO_MANIFEST_DIR", false),
            ("CARGO_TARGET_DIR", false),
            ("CARGO_BUILD_TARGET", false),
            ("CARGO_ENCODED_RUSTFLAGS", false),
            ("CARGO_PKG_NAME", false),
            ("CARGO_PROFILE_RELEASE_LTO", false),
            ("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", false),
            ("RUSTFLAGS", false),
            ("RUSTC_WRAPPER", false),
            ("RUSTC_WORKSPACE_WRAPPER", false),
        ] {
            assert_eq!(passes(name), expected, "{name}");
        }
    }

    #[test]
    fn without_a_marked_target_folder_the_guests_stay_in_the_scripts_own() {
        assert_eq!(target_dir(Path::new("/nowhere/out")), Path::new("/nowhere/out/guests"));
    }
}
