//! Histories on a disk.

use super::*;
use crate::version::Summary;
use switchbox_plugin_model::digest;

fn relay() -> PluginName {
    PluginName::new("relay").unwrap()
}

fn ran(id: &str, bytes: &str) -> NewVersion {
    NewVersion {
        id: id.into(),
        digest: digest(bytes.as_bytes()),
        component: "relay.wasm".into(),
        settings: format!("# {id}").into(),
        time_ms: 1,
        by: None,
        about: Summary::default(),
    }
}

fn numbers(history: &History) -> Vec<u64> {
    history.versions(&relay()).iter().map(|version| version.number).collect()
}

#[test]
fn a_version_that_comes_back_keeps_its_number_and_only_the_last_ten_stay() {
    let data = tempfile::tempdir().unwrap();
    let history = History::new(data.path());
    for (id, bytes, expected) in [
        ("a", "one", vec![1]),
        ("a", "one", vec![1]),
        ("b", "two", vec![1, 2]),
        ("a", "one", vec![2, 1]),
        ("c", "one", vec![2, 1, 3]),
    ] {
        history.record_version(&relay(), ran(id, bytes), Some(bytes.as_bytes()), None).unwrap();
        assert_eq!(numbers(&history), expected, "after {id}");
    }
    let versions = history.versions(&relay());
    assert_eq!(history.component(&versions[0]).unwrap().unwrap(), b"two");
    for n in 0..limits::PLUGIN_VERSIONS {
        history.record_version(&relay(), ran(&format!("n{n}"), "three"), Some(b"three"), None).unwrap();
    }
    assert_eq!(numbers(&History::new(data.path())), (4..14).collect::<Vec<_>>());
    let kept = fs::read_dir(data.path().join(FOLDER)).unwrap().count();
    assert_eq!(kept, 2, "the history, and the one component of its versions");
    history.forget(&relay());
    assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 0);
}

#[test]
fn a_version_that_was_rolled_back_says_so_until_it_is_in_force_again() {
    let data = tempfile::tempdir().unwrap();
    let history = History::new(data.path());
    history.record_version(&relay(), ran("a", "one"), Some(b"one"), None).unwrap();
    history.record_version(&relay(), ran("b", "two"), Some(b"two"), None).unwrap();
    let rolled_back = RolledBack { why: "it trapped".into(), time_ms: 7, stays: false };
    history.record_rollback(&relay(), "b", rolled_back.clone()).unwrap();
    history.record_rollback(&relay(), "unknown", rolled_back.clone()).unwrap();
    let of = |history: &History| history.versions(&relay()).pop().unwrap().rolled_back;
    assert_eq!(of(&history), Some(rolled_back));
    history.record_version(&relay(), ran("b", "two"), Some(b"two"), None).unwrap();
    assert_eq!(of(&history), None);
}

#[test]
fn what_an_earlier_host_kept_is_taken_over() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join(FOLDER);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("relay.current.wasm"), "two").unwrap();
    fs::write(folder.join("relay.previous.wasm"), "one").unwrap();
    let kept = format!(
        r#"[{{"version":"a","component":"{}","settings":"x = 1"}},{{"version":"b","component":"builtin:hop","settings":""}},
            {{"version":"c","component":"{}","settings":""}}]"#,
        digest(b"one"),
        digest(b"two")
    );
    fs::write(folder.join("relay.versions.json"), kept).unwrap();
    let history = History::new(data.path());
    let versions = history.versions(&relay());
    let components: Vec<_> = versions.iter().map(|version| version.component.as_str()).collect();
    assert_eq!((numbers(&history), components), (vec![1, 2, 3], vec!["relay.wasm", "builtin:hop", "relay.wasm"]));
    assert_eq!(history.component(&versions[0]).unwrap().unwrap(), b"one");
    history.record_version(&relay(), ran("d", "two"), Some(b"two"), None).unwrap();
    assert_eq!(numbers(&history), [1, 2, 3, 4]);
    assert!(!folder.join("relay.current.wasm").exists() && history.has_component(&versions[0]));
}
