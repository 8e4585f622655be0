//! `switchbox plugin test`: runs the cases of a plugin's folder in the sandbox of a host, without a host.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use bytes::Bytes;

use super::{
    exit::wrong,
    language::RUST_BUILT,
    printed::{Printed, show},
};
use switchbox_dry_run::{
    case::{Case, EventResult, differences, golden, run as run_case},
    offline,
};
use switchbox_model::PluginName;
use switchbox_plugin_model::PluginSettings;

/// The exit code if a case fails.
const FAILED: u8 = 9;
/// The folder of cases, in the plugin's folder.
const CASES: &str = "cases";
/// The ending of a case's file of expected results.
const EXPECTED: &str = ".expected.json";
/// How often --watch checks for changes.
const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The plugin's folder, with its cases in cases/
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The component [default: the newest .wasm of DIR or of its target/wasm32-wasip2/release]
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// The settings file [default: NAME.toml in DIR, where NAME is the component's]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Write the results as the expected ones
    #[arg(long)]
    accept: bool,
    /// Run the tests again when a file changes, until interrupted
    #[arg(long, conflicts_with = "accept")]
    watch: bool,
}

/// Returns what is to be printed.
pub(super) fn run(options: &Options) -> anyhow::Result<Printed> {
    if !options.watch {
        return test(options);
    }
    loop {
        let before = fingerprint(options);
        let text = match test(options) {
            Ok(printed) => printed.text,
            Err(error) => super::printed::chain(&error),
        };
        show(&format!("{text}\nwaiting for changes"))?;
        while fingerprint(options) == before {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// The cases of this folder with this component.
#[cfg(test)]
pub(super) fn with_component(folder: &Path, component: &Path) -> anyhow::Result<Printed> {
    let (folder, component) = (folder.to_owned(), Some(component.to_owned()));
    test(&Options { folder, component, settings: None, accept: false, watch: false })
}

fn test(options: &Options) -> anyhow::Result<Printed> {
    let path = component(options)?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let settings = options.settings.clone().unwrap_or_else(|| options.folder.join(format!("{name}.toml")));
    let settings = match fs::read_to_string(&settings) {
        Ok(text) => PluginSettings::parse(&text).with_context(|| format!("{}", settings.display()))?,
        Err(_) if options.settings.is_none() => PluginSettings::default(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", settings.display())),
    };
    let name = PluginName::new(name)?;
    let bytes = Bytes::from(fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?);
    let cases = cases(&options.folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut lines, mut failed) = (Vec::new(), 0);
    let component = runtime.block_on(offline::load(bytes)).with_context(|| format!("{}", path.display()))?;
    for file in &cases {
        let title = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let results = read(file).and_then(|case| Ok(runtime.block_on(run_case(&component, &name, &settings, case))?));
        let wrong = results.and_then(|results| judged(file, &results, options.accept));
        match wrong {
            Ok(wrong) if wrong.is_empty() => lines.push(format!("{title}: ok")),
            Ok(wrong) => {
                failed += 1;
                lines.push(format!("{title}: failed"));
                lines.extend(wrong.iter().map(|text| format!("  {text}")));
            }
            Err(error) => {
                failed += 1;
                lines.push(format!("{title}: failed\n  {}", super::printed::chain(&error)));
            }
        }
    }
    lines.push(format!("{} cases of {name}, {failed} failed", cases.len()));
    Ok(Printed { text: lines.join("\n"), code: if failed == 0 { 0 } else { FAILED } })
}

/// The differences from the expected results.
fn judged(file: &Path, results: &[EventResult], accept: bool) -> anyhow::Result<Vec<String>> {
    let expected = file.with_extension("").with_added_extension("expected.json");
    if accept {
        fs::write(&expected, golden(results)).with_context(|| format!("{} cannot be written", expected.display()))?;
        return Ok(Vec::new());
    }
    let Ok(text) = fs::read_to_string(&expected) else {
        let missing = expected.display();
        return Ok(vec![format!("there is no {missing}; --accept writes what the plugin does now")]);
    };
    let expected_results: Vec<EventResult> =
        serde_json::from_str(&text).with_context(|| format!("{}", expected.display()))?;
    Ok(differences(&expected_results, results))
}

fn read(file: &Path) -> anyhow::Result<Case> {
    let text = fs::read_to_string(file).context("it cannot be read")?;
    serde_json::from_str(&text).context("it is not a case")
}

fn cases(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = folder.join(CASES);
    let entries = fs::read_dir(&folder).with_context(|| format!("there is no folder {}", folder.display()))?;
    let mut found: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    let is_case =
        |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(".json") && !path.ends_with(EXPECTED));
    found.retain(is_case);
    found.sort();
    if found.is_empty() {
        return Err(wrong(format!("{} has no case: a .json with events", folder.display())));
    }
    Ok(found)
}

fn component(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(path) = &options.component {
        return Ok(path.clone());
    }
    let folders = [options.folder.clone(), options.folder.join(RUST_BUILT)];
    let found = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let components = found.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "wasm"));
    let newest = components.max_by_key(|path| changed(path));
    let (folder, built) = (options.folder.display(), RUST_BUILT);
    newest.ok_or_else(|| {
        wrong(format!("there is no .wasm in {folder} nor in its {built}; build it, or name one with --component"))
    })
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}

/// The modification time of each file that a test depends on.
fn fingerprint(options: &Options) -> Vec<(PathBuf, Option<SystemTime>)> {
    let entries = fs::read_dir(options.folder.join(CASES)).into_iter().flatten().flatten().map(|entry| entry.path());
    let settings = fs::read_dir(&options.folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let settings = settings.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let mut files: Vec<_> =
        entries.chain(settings).chain(component(options).ok()).chain(options.settings.clone()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), changed(&path))).collect()
}
