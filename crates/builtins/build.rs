//! Builds the built-in plugins and writes the table of them that `src/lib.rs` includes. Never leaves anything
//! outside the target folder.

use std::{env, fs, io, path::Path};

use switchbox_guest_builder::{Component, build_or_stop};

/// In order of their names.
const PLUGINS: [&str; 6] = [
    "plugins/garage-door",
    "plugins/hop-relay",
    "plugins/motion-alert",
    "plugins/night-restart",
    "plugins/switch-wakes-device",
    "plugins/thermostat",
];

fn main() {
    build_or_stop(&PLUGINS, write_table);
}

fn write_table(components: &[Component]) -> io::Result<()> {
    let rows: String = components
        .iter()
        .map(|component| format!("    ({:?}, include_bytes!({:?})),\n", component.name, component.path))
        .collect();
    let mut summaries = String::new();
    for (component, folder) in components.iter().zip(PLUGINS) {
        summaries.push_str(&format!("    ({:?}, {:?}),\n", component.name, summary(folder)?));
    }
    let out_dir = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(
        Path::new(&out_dir).join("builtins.rs"),
        format!(
            "/// Name and component, in order of the names.\npub static BUILTINS: &[(&str, &[u8])] = &[\n{rows}];\n\
             /// Name and one sentence, in order of the names.\nstatic SUMMARIES: &[(&str, &str)] = &[\n{summaries}];\n"
        ),
    )
}

/// The description of the package, without the kind of plugin in front of it.
fn summary(folder: &str) -> io::Result<String> {
    let manifest = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?)
        .join("../..")
        .join(folder)
        .join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    let described = text.lines().find_map(|line| line.strip_prefix("description = \"")?.strip_suffix('"'));
    let described = described.ok_or_else(|| io::Error::other(format!("{} has no description", manifest.display())))?;
    Ok(described.split_once("plugin: ").map_or(described, |(_, summary)| summary).to_owned())
}
