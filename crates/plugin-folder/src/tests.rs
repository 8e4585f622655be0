//! Tests with real files in a real folder, scanned as fast as possible.

use std::{fs, path::Path, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::timeout};
use tracing::span;

use super::*;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component that differs from others by its number: a custom section.
fn component(number: u8) -> Vec<u8> {
    [COMPONENT, &[0, 3, 1, b'n', number]].concat()
}

struct Watched {
    folder: tempfile::TempDir,
    changes: mpsc::Receiver<Change>,
    _stop: tokio_util::sync::DropGuard,
}

impl Watched {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let options = Options {
            poll: Duration::from_millis(50),
            settle: Duration::from_millis(20),
            settle_time: Duration::from_secs(1),
            ..Options::new(folder.path())
        };
        let (service, changes) = Service::new(options).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(service.run(stop.clone()));
        Self { folder, changes, _stop: stop.drop_guard() }
    }

    /// A watched folder that is empty, after the first scan.
    async fn empty() -> Self {
        let mut watched = Self::new(|_| {});
        assert_eq!(watched.next().await, "first scan");
        watched
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    async fn next(&mut self) -> String {
        let change = timeout(Duration::from_secs(10), self.changes.recv()).await.expect("no change came").unwrap();
        match change {
            Change::Upsert { name, component: Source::Builtin(builtin), .. } => format!("{name} = builtin:{builtin}"),
            Change::Upsert { name, component: Source::File { path, bytes }, settings, .. } => {
                let file = path.file_name().unwrap().to_str().unwrap();
                let enabled = if settings.enabled { "" } else { ", disabled" };
                format!("{name} = {file} {}{enabled}", bytes.last().unwrap())
            }
            Change::Upsert { name, component: Source::Script { path, bytes }, .. } => {
                let file = path.file_name().unwrap().to_str().unwrap();
                format!("{name} = {file} {}", String::from_utf8_lossy(&bytes))
            }
            Change::Removed { name } => format!("{name} removed"),
            Change::Broken { name, error } => format!("{name} broken: {error}"),
            Change::FirstScanDone { .. } => "first scan".into(),
        }
    }

    /// Checks that nothing more is reported: a plugin that is added now is the next one.
    async fn nothing_more(&mut self) {
        self.write("zz-last.toml", "component = \"builtin:x\"");
        assert_eq!(self.next().await, "zz-last = builtin:x");
        fs::remove_file(self.folder.path().join("zz-last.toml")).unwrap();
        assert_eq!(self.next().await, "zz-last removed");
    }
}

#[tokio::test]
async fn a_rule_in_javascript_makes_a_plugin_until_there_is_a_component() {
    let mut watched = Watched::empty().await;
    watched.write("a.js", "one");
    assert_eq!(watched.next().await, "a = a.js one");
    watched.write("a.js", "two");
    assert_eq!(watched.next().await, "a = a.js two");
    watched.write("a.wasm", component(7));
    assert_eq!(watched.next().await, "a = a.wasm 7");
    watched.write("a.js", "three");
    watched.nothing_more().await;
    fs::remove_file(watched.folder.path().join("a.wasm")).unwrap();
    assert_eq!(watched.next().await, "a = a.js three");
    watched.write("a.js", vec![b' '; 1024 * 1024 + 1]);
    let limit = "a broken: a.js has 1048577 bytes; the limit \"script-bytes\" is 1048576";
    assert_eq!(watched.next().await, limit);
}

#[tokio::test]
async fn what_is_there_at_the_start_comes_before_the_first_scan_ends() {
    let mut watched = Watched::new(|folder| {
        fs::write(folder.join("a.wasm"), component(1)).unwrap();
        fs::write(folder.join("b.toml"), "component = \"builtin:hop-relay\"").unwrap();
    });
    assert_eq!(watched.next().await, "a = a.wasm 1");
    assert_eq!(watched.next().await, "b = builtin:hop-relay");
    assert_eq!(watched.next().await, "first scan");
}

#[tokio::test]
async fn a_plugin_is_added_replaced_edited_and_removed() {
    let mut watched = Watched::empty().await;
    watched.write("a.wasm", component(1));
    assert_eq!(watched.next().await, "a = a.wasm 1");
    watched.write("a.wasm", component(2));
    assert_eq!(watched.next().await, "a = a.wasm 2");
    watched.write("a.toml", "enabled = false");
    assert_eq!(watched.next().await, "a = a.wasm 2, disabled");
    watched.write("a.toml", "enabled = true # again");
    assert_eq!(watched.next().await, "a = a.wasm 2");
    // A file that is written again with the same bytes or the same meaning is not a change.
    watched.write("a.wasm", component(2));
    watched.write("a.toml", "# nothing");
    watched.nothing_more().await;
    fs::remove_file(watched.folder.path().join("a.toml")).unwrap();
    fs::remove_file(watched.folder.path().join("a.wasm")).unwrap();
    assert_eq!(watched.next().await, "a removed");
}

#[tokio::test]
async fn a_half_written_component_is_not_reported() {
    let mut watched = Watched::empty().await;
    let whole = component(7);
    watched.write("a.wasm", &whole[..10]);
    watched.nothing_more().await;
    watched.write("a.wasm", &whole);
    assert_eq!(watched.next().await, "a = a.wasm 7");
    // A file that stays incomplete is reported as broken after a while.
    watched.write("a.wasm", &whole[..10]);
    assert_eq!(
        watched.next().await,
        "a broken: a.wasm: this is not a component: the file ends in the middle of a section, at byte 8"
    );
}

#[tokio::test]
async fn a_file_renamed_into_place_is_whole_at_once() {
    let mut watched = Watched::empty().await;
    watched.write("a.wasm", component(1));
    assert_eq!(watched.next().await, "a = a.wasm 1");
    watched.write(".a.wasm.part", component(2));
    fs::rename(watched.folder.path().join(".a.wasm.part"), watched.folder.path().join("a.wasm")).unwrap();
    assert_eq!(watched.next().await, "a = a.wasm 2");
}

#[tokio::test]
async fn what_is_wrong_is_reported_with_file_and_key() {
    let mut watched = Watched::empty().await;
    for (file, text, expect) in [
        ("a.wasm", "#!/bin/sh", "a broken: a.wasm: this is not a component: the file does not begin with \\0asm"),
        ("b.toml", "hue = 1", "b broken: b.toml: hue: is not a key of a plugin's settings"),
        ("c.toml", "", "c broken: c.toml: component: there is no c.wasm in the folder"),
        ("d.toml", "component = \"x.wasm\"", "d broken: d.toml: component: there is no x.wasm in the folder"),
    ] {
        watched.write(file, text);
        let change = watched.next().await;
        assert!(change.starts_with(expect), "{change}");
    }
    let large = fs::File::create(watched.folder.path().join("e.wasm")).unwrap();
    large.set_len(MAX_BYTES + 1).unwrap();
    let change = watched.next().await;
    assert!(change.contains("e.wasm has 67108865 bytes; the limit \"component-bytes\" is 67108864"), "{change}");
    // Set right, it runs.
    watched.write("b.toml", "component = \"builtin:x\"");
    assert_eq!(watched.next().await, "b = builtin:x");
}

const MAX_BYTES: u64 = switchbox_plugin_model::MAX_COMPONENT_BYTES as u64;

#[tokio::test]
async fn a_component_that_plugins_share_changes_each_of_them() {
    let mut watched = Watched::empty().await;
    watched.write("lib.wasm", component(1));
    assert_eq!(watched.next().await, "lib = lib.wasm 1");
    watched.write("a.toml", "component = \"lib.wasm\"");
    assert_eq!(watched.next().await, "a = lib.wasm 1");
    watched.write("b.toml", "component = \"lib.wasm\"");
    assert_eq!(watched.next().await, "b = lib.wasm 1");
    watched.write("lib.wasm", component(2));
    for name in ["a", "b", "lib"] {
        assert_eq!(watched.next().await, format!("{name} = lib.wasm 2"));
    }
    fs::remove_file(watched.folder.path().join("lib.wasm")).unwrap();
    assert_eq!(watched.next().await, "lib removed");
    assert_eq!(watched.next().await, "a broken: a.toml: component: there is no lib.wasm in the folder");
    assert_eq!(watched.next().await, "b broken: b.toml: component: there is no lib.wasm in the folder");
}

#[cfg(unix)]
#[tokio::test]
async fn folders_hidden_and_temporary_files_are_not_seen() {
    let mut watched = Watched::empty().await;
    let path = |name: &str| watched.folder.path().join(name);
    std::os::unix::fs::symlink(path("nowhere"), path("link.wasm")).unwrap();
    std::os::unix::fs::symlink(path("round.wasm"), path("round.wasm")).unwrap();
    fs::create_dir(path("folder.wasm")).unwrap();
    for name in [".a.wasm", "a.wasm~", "a.toml.swp", "#a.toml#", "a.wasm.part", "README.md", " .toml"] {
        fs::write(path(name), component(1)).unwrap();
    }
    watched.nothing_more().await;
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_and_their_targets_watched() {
    use std::os::unix::fs::symlink;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut watched = Watched::empty().await;
    let folder = watched.folder.path().to_owned();
    fs::write(elsewhere.path().join("built.wasm"), component(1)).unwrap();
    symlink(elsewhere.path().join("built.wasm"), folder.join("absolute.wasm")).unwrap();
    assert_eq!(watched.next().await, "absolute = absolute.wasm 1");
    fs::write(elsewhere.path().join("built.wasm"), component(2)).unwrap();
    assert_eq!(watched.next().await, "absolute = absolute.wasm 2");
    // As Kubernetes gives a ConfigMap: a link to a link to a folder, which is replaced by a rename.
    for (version, byte) in [("..one", 3), ("..two", 4)] {
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("mapped.wasm"), component(byte)).unwrap();
    }
    symlink("..one", folder.join("..data")).unwrap();
    symlink("..data/mapped.wasm", folder.join("mapped.wasm")).unwrap();
    assert_eq!(watched.next().await, "mapped = mapped.wasm 3");
    symlink("..two", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    assert_eq!(watched.next().await, "mapped = mapped.wasm 4");
    fs::remove_file(elsewhere.path().join("built.wasm")).unwrap();
    assert_eq!(watched.next().await, "absolute removed");
}

#[tokio::test]
async fn a_file_with_other_bytes_of_the_same_size_and_age_is_another() {
    let mut watched = Watched::empty().await;
    let age = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let write = |watched: &Watched, name: &str, byte: u8| {
        watched.write(name, component(byte));
        let file = fs::File::options().append(true).open(watched.folder.path().join(name)).unwrap();
        file.set_modified(age).unwrap();
    };
    write(&watched, "a.wasm", 1);
    assert_eq!(watched.next().await, "a = a.wasm 1");
    // In place, as `cp -p` does, and by a rename, as `install -p` does.
    write(&watched, "a.wasm", 2);
    assert_eq!(watched.next().await, "a = a.wasm 2");
    write(&watched, ".a.wasm.part", 3);
    fs::rename(watched.folder.path().join(".a.wasm.part"), watched.folder.path().join("a.wasm")).unwrap();
    assert_eq!(watched.next().await, "a = a.wasm 3");
}

/// A log that notifies of its warnings and drops them.
struct Warnings(Arc<Notify>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.notify_one();
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn what_runs_keeps_running_while_the_folder_is_away() {
    let mut watched = Watched::empty().await;
    watched.write("a.wasm", component(1));
    assert_eq!(watched.next().await, "a = a.wasm 1");
    let (folder, aside) = (watched.folder.path().to_owned(), watched.folder.path().with_extension("aside"));
    let warned = Arc::new(Notify::new());
    let _log = switchbox_testing::subscribe(Warnings(warned.clone()));
    fs::rename(&folder, &aside).unwrap();
    timeout(Duration::from_secs(10), warned.notified()).await.expect("nobody saw that the folder is away");
    fs::rename(&aside, &folder).unwrap();
    // The first change after that is this one: a removal would come before it.
    watched.write("a.wasm", component(2));
    assert_eq!(watched.next().await, "a = a.wasm 2");
}
