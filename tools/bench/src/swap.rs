//! Replaces the plugin while the relay runs. No message may be lost or duplicated; the pause is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::time::sleep;

use switchbox_builtins as builtins;

use super::{
    admin::Admin,
    frames::Qos,
    load::{DRAIN, Load},
    plan::{Plan, Traffic},
    report::{Swap, SwapPause},
    servers::{PLUGIN, Server},
    throughput::Runs,
};

/// How long the host may take to notice a change of the folder and to run the new version.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the relay is observed after the new version runs.
const WATCH_AFTER: Duration = Duration::from_millis(500);
/// How long the relay is observed if the host cannot be asked for its version.
const UNOBSERVED_WAIT: Duration = Duration::from_secs(3);

/// The load during the swaps.
pub(super) struct SwapLoad {
    pub(super) connections: usize,
    pub(super) window: usize,
    pub(super) threads: usize,
    /// How often each kind of swap is repeated.
    pub(super) times: usize,
    pub(super) warm_up: Duration,
}

/// A change of the folder.
enum Change {
    Settings { turn: usize },
    Component(Vec<u8>),
}

/// `component`: the hop relay that is swapped in, instead of a copy of the built-in.
pub(super) async fn under_load(
    server: &Server,
    plugins: &Path,
    component: Option<&Path>,
    load: &SwapLoad,
    runs: &mut Runs,
) -> anyhow::Result<Swap> {
    let plan = Plan {
        addr: server.mqtt,
        traffic: Traffic::Relay,
        connections: load.connections,
        window: load.window,
        qos: Qos::AtLeastOnce,
        run: runs.next(),
        threads: load.threads,
        drain: DRAIN,
    };
    let changes = changes(component, load.times)?;
    let mut folder = Folder { path: plugins.to_owned(), builtin: true, admin: server.admin.clone() };
    let relay = Load::start(&plan).await?;
    sleep(load.warm_up).await;
    relay.take_pause();
    sleep(UNOBSERVED_WAIT).await;
    let undisturbed = relay.take_pause();
    let mut swaps = Vec::new();
    for (what, change) in changes {
        relay.take_pause();
        let in_force = folder.apply(change).await?;
        swaps.push(SwapPause { what, in_force, pause: relay.take_pause() });
    }
    let result = relay.finish().await?;
    runs.add_errors(&result.errors);
    let faults = result.faults;
    Ok(Swap {
        connections: load.connections,
        undisturbed,
        swaps,
        lost: faults.lost,
        duplicated: faults.duplicated,
        skipped: faults.skipped,
    })
}

fn changes(component: Option<&Path>, times: usize) -> anyhow::Result<Vec<(&'static str, Change)>> {
    let mut changes: Vec<_> = (1..=times).map(|turn| ("other settings", Change::Settings { turn })).collect();
    let bytes = match component {
        Some(path) => Some(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => builtins::find("hop-relay").map(<[u8]>::to_vec),
    };
    if let Some(bytes) = bytes {
        // Then back through the known versions, from the last but one to the original component.
        let versions: Vec<_> = (0..times).map(|turn| with_custom_section(&bytes, turn)).collect();
        let change = |what| move |bytes: &Vec<u8>| (what, Change::Component(bytes.clone()));
        let own = component.map(|_| &bytes);
        changes.extend(own.into_iter().chain(&versions).map(change("a new component")));
        changes.extend(versions.iter().rev().skip(1).chain([&bytes]).map(change("a component known before")));
    }
    Ok(changes)
}

/// The same component with another custom section: it has another digest, so the host has to compile it.
fn with_custom_section(component: &[u8], turn: usize) -> Vec<u8> {
    let name = b"bench";
    let note = format!("{:08}", turn + 1);
    let mut bytes = component.to_vec();
    bytes.push(0);
    // Both lengths are below 128, so one byte of LEB128 is enough.
    bytes.push(u8::try_from(1 + name.len() + note.len()).unwrap_or_default());
    bytes.push(u8::try_from(name.len()).unwrap_or_default());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(note.as_bytes());
    bytes
}

struct Folder {
    path: PathBuf,
    /// Whether the settings file names the built-in.
    builtin: bool,
    admin: Option<Admin>,
}

impl Folder {
    /// Changes the folder and waits until the host runs the new version. Returns how long that took, if the host reports it.
    async fn apply(&mut self, change: Change) -> anyhow::Result<Option<Duration>> {
        let before = self.version().await;
        match change {
            Change::Settings { turn } => {
                // All patterns match the devices of this load, each with another text.
                let source: String = "hop-".chars().take(turn).chain(['*']).collect();
                self.replace("hop.toml", format!("{PLUGIN}\n[settings]\nsource = \"{source}\"\n").as_bytes())?;
            }
            Change::Component(bytes) => {
                self.replace("hop.wasm", &bytes)?;
                if self.builtin {
                    self.replace("hop.toml", b"# hop.wasm stands beside this file\n")?;
                    self.builtin = false;
                }
            }
        }
        let begun = Instant::now();
        let Some(before) = before else {
            sleep(UNOBSERVED_WAIT).await;
            return Ok(None);
        };
        while begun.elapsed() < NOTICE_TIMEOUT {
            sleep(Duration::from_millis(20)).await;
            if self.version().await.is_some_and(|now| now != before) {
                let took = begun.elapsed();
                sleep(WATCH_AFTER).await;
                return Ok(Some(took));
            }
        }
        Ok(None)
    }

    /// Writes the file under another name, then renames it.
    fn replace(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let hidden = self.path.join(format!(".{name}.new"));
        fs::write(&hidden, bytes)?;
        fs::rename(&hidden, self.path.join(name))?;
        Ok(())
    }

    async fn version(&self) -> Option<String> {
        self.admin.as_ref()?.plugin_version("hop").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_makes_another_component_that_is_still_one() {
        let empty = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
        let (one, two) = (with_custom_section(&empty, 0), with_custom_section(&empty, 1));
        assert_ne!(one, two);
        for bytes in [one, two] {
            assert!(wasmparser::Parser::is_component(&bytes));
            for section in wasmparser::Parser::new(0).parse_all(&bytes) {
                section.expect("a component");
            }
        }
    }
}
