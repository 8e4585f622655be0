//! `switchbox plugin new NAME`: writes the project of a plugin that builds, passes its tests and runs as it is. Never
//! builds anything and never writes into a folder that has something in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The SDK of the repo that this binary was built from.
const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin-sdk");

/// Longest name, bytes: it stands in file names and in tables.
const MAX_NAME_BYTES: usize = 64;

/// Where each file of the project goes, and what stands in it.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../templates/plugin/Cargo.toml.txt")),
    (".cargo/config.toml", include_str!("../templates/plugin/config.toml.txt")),
    (".gitignore", "/target\n"),
    ("README.md", include_str!("../templates/plugin/README.md.txt")),
    // The compiler that the SDK is built with, and the target with it.
    ("rust-toolchain.toml", include_str!("../../../rust-toolchain.toml")),
    ("src/lib.rs", include_str!("../templates/plugin/lib.rs.txt")),
];

/// What cargo, the compiler or the project itself call something else already.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde-core",
    "serde-json",
    "static",
    "std",
    "struct",
    "super",
    "switchbox-plugin",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "wit-bindgen",
    "yield",
];

/// A project, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Where it is, absolute.
    pub folder: PathBuf,
    /// The command that builds it, in its folder.
    pub build: &'static str,
    /// Where that command puts the component, from the folder on.
    pub component: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("plugin name {name:?}: {rule}")]
    Name { name: String, rule: &'static str },
    #[error("{0} is there already and is not an empty folder")]
    NotEmpty(PathBuf),
    #[error("the SDK is not in {0}: say where the plugin-sdk folder of the Switchbox repo is")]
    NoSdk(PathBuf),
    #[error("the path {0} is no UTF-8, which Cargo.toml needs")]
    NotText(PathBuf),
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// Where the SDK is unless somebody says another place.
#[must_use]
pub fn default_sdk() -> PathBuf {
    PathBuf::from(SDK)
}

/// Writes the project of the plugin `name` into `folder`, which must not be there yet or be empty. `sdk` is the repo's
/// `plugin-sdk`.
pub fn create(name: &str, folder: &Path, sdk: &Path) -> Result<Created, Error> {
    check(name).map_err(|rule| Error::Name { name: name.chars().take(80).collect(), rule })?;
    let found = sdk.canonicalize().ok().filter(|sdk| sdk.join("Cargo.toml").is_file());
    let sdk = found.ok_or_else(|| Error::NoSdk(sdk.into()))?;
    let sdk_text = sdk.to_str().ok_or_else(|| Error::NotText(sdk.clone()))?;
    if !is_free(folder) {
        return Err(Error::NotEmpty(folder.into()));
    }

    let crate_name = name.replace('-', "_");
    let sdk_toml = toml::Value::String(sdk_text.into()).to_string();
    for (path, template) in FILES {
        let text = template.replace("{{name}}", name).replace("{{crate}}", &crate_name).replace("{{sdk}}", &sdk_toml);
        write(&folder.join(path), &text)?;
    }
    copy_lock_file(&sdk, folder)?;

    Ok(Created {
        folder: folder.canonicalize().unwrap_or_else(|_| folder.into()),
        build: "cargo wasm",
        component: format!("target/wasm32-wasip2/release/{crate_name}.wasm").into(),
    })
}

fn check(name: &str) -> Result<(), &'static str> {
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("must begin with a small letter");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_') {
        return Err("may hold only small letters, digits, - and _");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("must be at most 64 bytes long");
    }
    if RESERVED.contains(&name.replace('_', "-").as_str()) {
        return Err("means something else to cargo or to Rust");
    }
    Ok(())
}

fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|source| Error::Write { path: path.into(), source })
}

/// The repo's lock file, so that the project begins with the versions that the SDK was tested with, which this machine
/// has already. Cargo takes out of it what the project does not need. A repo without one is fine.
fn copy_lock_file(sdk: &Path, folder: &Path) -> Result<(), Error> {
    let Some(text) = sdk.parent().and_then(|repo| fs::read_to_string(repo.join("Cargo.lock")).ok()) else {
        return Ok(());
    };
    write(&folder.join("Cargo.lock"), &text)
}

#[cfg(test)]
mod tests;
