//! Packs what `switchbox plugin new` writes into the program: the plugin SDK, which is the sources of its two crates, the WIT interface
//! and the lock file; and the interface for C, Go and Python. What the manifests take from the workspace is written out, so that they stand alone.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER;
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_go::{Format, Opts};

/// The folders of the SDK from the workspace's root on. They keep their places to each other.
const FOLDERS: [&str; 3] = ["plugin-sdk", "crates/rules", "wit"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("../..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    let workspace: toml::Table = read(&root.join("Cargo.toml"))?.parse().map_err(io::Error::other)?;
    let mut rows = String::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        for path in files(&root.join(folder))? {
            let name = path.strip_prefix(&root).map_err(io::Error::other)?.display().to_string();
            let mut source = path.clone();
            if name.ends_with("Cargo.toml") {
                source = out.join(name.replace('/', "-"));
                fs::write(&source, alone(&read(&path)?, &workspace, folder)?)?;
            }
            rows.push_str(&format!("    ({name:?}, include_str!({:?})),\n", source.display().to_string()));
        }
    }
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    println!("cargo::rerun-if-changed={}", root.join("Cargo.lock").display());
    let lock = root.join("Cargo.lock").display().to_string();
    let text = format!(
        "/// Path in the SDK's folder, and text.\nconst SDK: &[(&str, &str)] = &[\n{rows}];\n\n/// The lock file that the SDK \
         was tested with.\nconst LOCK: &str = include_str!({lock:?});\n"
    );
    let bindings = [c_bindings(&root, &out)?, go_bindings(&root, &out)?, python_bindings(&root, &out)?].concat();
    fs::write(out.join("sdk.rs"), text + &bindings)
}

/// The files that a generator makes of the world `plugin`.
fn generated(root: &Path, mut generator: Box<dyn WorldGenerator>) -> io::Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit")).map_err(io::Error::other)?;
    let world = resolve.select_world(&[package], Some("plugin")).map_err(io::Error::other)?;
    let mut made = Files::default();
    generator.generate(&mut resolve, world, &mut made).map_err(io::Error::other)?;
    Ok(made)
}

/// Writes the files, and returns a table `NAME` of their paths in a project's folder and their bytes.
fn packed<'a>(
    out: &Path,
    name: &str,
    made: impl Iterator<Item = (String, std::borrow::Cow<'a, [u8]>)>,
) -> io::Result<String> {
    let mut rows = String::new();
    for (path, bytes) in made {
        let file = out.join(name).join(&path);
        fs::create_dir_all(file.parent().unwrap_or(out))?;
        fs::write(&file, bytes)?;
        let (path, file) = (format!("bindings/{path}"), file.display().to_string());
        rows.push_str(&format!("    ({path:?}, include_bytes!({file:?})),\n"));
    }
    Ok(format!("\n/// Path in the project's folder, and bytes.\nconst {name}: &[(&str, &[u8])] = &[\n{rows}];\n"))
}

/// The world `plugin` for C, and the adapter that a program with WASI 0.1 needs, as the C library of Debian is.
fn c_bindings(root: &Path, out: &Path) -> io::Result<String> {
    let made = generated(root, wit_bindgen_c::Opts::default().build())?;
    let made = made.iter().chain([("adapter.wasm", ADAPTER)]);
    packed(out, "C_BINDINGS", made.map(|(name, bytes)| (name.to_owned(), bytes.into())))
}

/// The world `plugin` for Go, and what the generated code uses of its runtime (`templates/go/wit`, from the crate wit-bindgen-go). All of it
/// is in the module of the rule, so that a build fetches no module.
fn go_bindings(root: &Path, out: &Path) -> io::Result<String> {
    let made = generated(root, Opts { format: Format::False, ..Opts::default() }.build())?;
    let mut bindings = Vec::new();
    for (name, bytes) in made.iter().filter(|(name, _)| *name != "go.mod") {
        let name = name.replace("wit_exports.go", "main/wit_exports.go");
        bindings.push((name, in_one_module(bytes)?));
    }
    let runtime = root.join("crates/cli/templates/go");
    println!("cargo::rerun-if-changed={}", runtime.display());
    for path in files(&runtime.join("wit"))? {
        let name = path.strip_prefix(&runtime).map_err(io::Error::other)?.display().to_string();
        bindings.push((name, fs::read(&path)?));
    }
    bindings.push(("adapter.wasm".to_owned(), ADAPTER.to_vec()));
    packed(out, "GO_BINDINGS", bindings.into_iter().map(|(name, bytes)| (name, bytes.into())))
}

/// What an editor needs of the world `plugin` for Python. It was written by componentize-py, which is no crate that this program can use;
/// `tests/it/languages.rs` compares it with what that writes.
fn python_bindings(root: &Path, out: &Path) -> io::Result<String> {
    let folder = root.join("crates/cli/templates/python/bindings");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut bindings = Vec::new();
    for path in files(&folder)? {
        let name = path.strip_prefix(&folder).map_err(io::Error::other)?.display().to_string();
        bindings.push((name, fs::read(&path)?));
    }
    packed(out, "PYTHON_BINDINGS", bindings.into_iter().map(|(name, bytes)| (name, bytes.into())))
}

/// The generated code with the paths of its imports as they are in the rule's module.
fn in_one_module(code: &[u8]) -> io::Result<Vec<u8>> {
    let code = std::str::from_utf8(code).map_err(io::Error::other)?;
    let code = code
        .replace("\"wit_component/export_switchbox_plugin_handler\"", "export_switchbox_plugin_handler \"rule\"")
        .replace("\"wit_component/", "\"rule/bindings/")
        .replace("\"go.bytecodealliance.org/pkg/wit/", "\"rule/bindings/wit/");
    Ok(code.into_bytes())
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|e| io::Error::other(format!("{}: {e}", path.display())))
}

/// All files below, in order of their names.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

/// The manifest without a workspace: `x.workspace = true` has the workspace's value, and paths go from `folder` on.
fn alone(manifest: &str, workspace: &toml::Table, folder: &str) -> io::Result<String> {
    let mut table: toml::Table = manifest.parse().map_err(io::Error::other)?;
    table.remove("lints");
    if let Some(toml::Value::Table(package)) = table.get_mut("package") {
        for (key, value) in package.iter_mut().filter(|(_, value)| inherits(value)) {
            *value = of_workspace(workspace, "package", key)?;
        }
    }
    complete(&mut table, workspace, folder)?;
    if let Some(toml::Value::Table(targets)) = table.get_mut("target") {
        for target in targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()) {
            complete(target, workspace, folder)?;
        }
    }
    toml::to_string(&table).map_err(io::Error::other)
}

/// Writes out the dependencies of a table that has such sections. Keys beside `workspace = true` count too.
fn complete(table: &mut toml::Table, workspace: &toml::Table, folder: &str) -> io::Result<()> {
    for section in ["dependencies", "dev-dependencies"] {
        let Some(toml::Value::Table(dependencies)) = table.get_mut(section) else { continue };
        for (key, value) in dependencies.iter_mut().filter(|(_, value)| inherits(value)) {
            let mut whole = match of_workspace(workspace, "dependencies", key)? {
                toml::Value::Table(whole) => whole,
                version => toml::Table::from_iter([("version".to_owned(), version)]),
            };
            if let Some(toml::Value::String(path)) = whole.get_mut("path") {
                *path = format!("{}{path}", "../".repeat(folder.split('/').count()));
            }
            let own = value.as_table().into_iter().flatten().filter(|(key, _)| *key != "workspace");
            whole.extend(own.map(|(key, value)| (key.clone(), value.clone())));
            *value = toml::Value::Table(whole);
        }
    }
    Ok(())
}

fn of_workspace(workspace: &toml::Table, section: &str, key: &str) -> io::Result<toml::Value> {
    let found = workspace.get("workspace").and_then(|all| all.get(section)).and_then(|all| all.get(key));
    found.cloned().ok_or_else(|| io::Error::other(format!("the workspace has no {section}.{key}")))
}

fn inherits(value: &toml::Value) -> bool {
    value.get("workspace").and_then(toml::Value::as_bool) == Some(true)
}
