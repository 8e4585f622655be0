//! Builds guest crates of this workspace to `wasm32-wasip2` components, from a build script. Never installs anything,
//! and never touches what the build that started it has under lock.
//!
//! ```no_run
//! # fn main() -> Result<(), switchbox_guest_builder::Error> {
//! for component in switchbox_guest_builder::build(&["plugins/hop-relay"])? {
//!     println!("{} is in {}", component.name, component.path.display());
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod guest;
mod nested;
mod target;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

pub use self::{
    error::Error,
    guest::{PROFILE, TARGET},
};

/// What every guest depends on, from the workspace's root.
const SHARED_INPUTS: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "crates/rules/Cargo.toml",
    "crates/rules/src",
    "plugin-sdk/Cargo.toml",
    "plugin-sdk/src",
    "wit",
];

/// One guest, built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The package's name, such as `hop-relay`.
    pub name: String,
    /// The component: a copy in the `OUT_DIR` of the build script, absolute.
    pub path: PathBuf,
}

/// Builds the packages in these folders of the workspace (each named as its folder) and says to cargo when to build
/// them again. The components come in the order of the folders.
pub fn build(folders: &[&str]) -> Result<Vec<Component>, Error> {
    let manifest_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let workspace = workspace_of(&manifest_dir).ok_or_else(|| Error::NoWorkspace(manifest_dir.clone()))?;
    watch(workspace, folders);
    if folders.is_empty() {
        return Ok(Vec::new());
    }

    target::check()?;
    let target_dir = nested::target_dir(&out_dir);
    let names: Vec<&str> = folders.iter().map(|folder| name_of(folder)).collect();
    nested::build(workspace, &target_dir, &names)?;

    let built = target_dir.join(TARGET).join(PROFILE);
    names.iter().map(|name| keep(name, &built, &out_dir)).collect()
}

/// Runs `build` and hands its components on; where one of the two fails, cargo shows its one line and stops.
pub fn build_or_stop<E: std::fmt::Display>(folders: &[&str], then: impl FnOnce(&[Component]) -> Result<(), E>) {
    let result =
        build(folders).map_err(|e| e.to_string()).and_then(|components| then(&components).map_err(|e| e.to_string()));
    if let Err(problem) = result {
        println!("cargo::error={problem}");
    }
}

fn variable(name: &'static str) -> Result<String, Error> {
    env::var(name).map_err(|_| Error::NoBuildScript(name))
}

fn name_of(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

/// The lock file is in the workspace's root only, and cargo has written it before any build script runs.
fn workspace_of(manifest_dir: &Path) -> Option<&Path> {
    manifest_dir.ancestors().find(|folder| folder.join("Cargo.lock").is_file())
}

fn watch(workspace: &Path, folders: &[&str]) {
    let own = folders.iter().flat_map(|folder| [format!("{folder}/Cargo.toml"), format!("{folder}/src")]);
    for input in SHARED_INPUTS.iter().map(ToString::to_string).chain(own) {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
}

/// Copies the component to the build script's own folder, so that no other build removes it.
fn keep(name: &str, built: &Path, out_dir: &Path) -> Result<Component, Error> {
    let from = built.join(format!("{}.wasm", name.replace('-', "_")));
    let to = out_dir.join(format!("{name}.wasm"));
    match fs::copy(&from, &to) {
        Ok(_) => Ok(Component { name: name.into(), path: to }),
        Err(source) => Err(Error::Copy { from, to, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_as_its_folder() {
        for (folder, name) in [("plugins/hop-relay", "hop-relay"), ("hop-relay", "hop-relay"), ("a/b/c", "c")] {
            assert_eq!(name_of(folder), name);
        }
    }

    #[test]
    fn the_workspace_is_where_the_lock_file_is() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(workspace_of(here), here.parent().and_then(Path::parent));
    }

    #[test]
    fn a_missing_target_is_one_line_with_the_command() {
        let text = Error::NoTarget.to_string();
        assert!(text.ends_with("run: rustup target add wasm32-wasip2"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
