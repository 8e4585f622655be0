//! Packs what `switchbox plugin new` writes into the program: the plugin SDK, which is the sources of its two crates, the WIT interface
//! and the lock file; and the interface for C. What the manifests take from the workspace is written out, so that they stand alone.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use wit_bindgen_core::{Files, wit_parser::Resolve};

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
    fs::write(out.join("sdk.rs"), text + &c_bindings(&root, &out)?)
}

/// The world `plugin` for C, and the adapter that a program with WASI 0.1 needs, as the C library of Debian is.
fn c_bindings(root: &Path, out: &Path) -> io::Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit")).map_err(io::Error::other)?;
    let world = resolve.select_world(&[package], Some("plugin")).map_err(io::Error::other)?;
    let mut made = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut made).map_err(io::Error::other)?;
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let mut rows = String::new();
    for (name, bytes) in made.iter().chain([("adapter.wasm", adapter)]) {
        let path = out.join(name);
        fs::write(&path, bytes)?;
        let (name, path) = (format!("bindings/{name}"), path.display().to_string());
        rows.push_str(&format!("    ({name:?}, include_bytes!({path:?})),\n"));
    }
    Ok(format!("\n/// Path in the project's folder, and bytes.\nconst C_BINDINGS: &[(&str, &[u8])] = &[\n{rows}];\n"))
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
