//! Histories on a disk.

use super::*;
use crate::version::Summary;
use switchbox_model::Seq;
use switchbox_plugin_model::{CanaryEnd, digest};

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
fn a_version_that_is_in_force_again_keeps_what_was_before() {
    let data = tempfile::tempdir().unwrap();
    let history = History::new(data.path());
    history.record_version(&relay(), ran("a", "one"), Some(b"one"), None).unwrap();
    history.record_version(&relay(), ran("b", "two"), Some(b"two"), None).unwrap();
    let rolled_back = RolledBack { why: "it trapped".into(), time_ms: 7, stays: false };
    history.record_rollback(&relay(), "b", rolled_back.clone()).unwrap();
    history.record_rollback(&relay(), "unknown", rolled_back.clone()).unwrap();
    let of = |history: &History| history.versions(&relay()).pop().unwrap().rolled_back;
    assert_eq!(of(&history), Some(rolled_back));
    let again = NewVersion { time_ms: 9, by: Some("ops".into()), ..ran("b", "two") };
    history.record_version(&relay(), again, Some(b"two"), None).unwrap();
    assert_eq!(of(&history), None);
    let version = history.versions(&relay()).pop().unwrap();
    let before = RolledBack { why: "it trapped".into(), time_ms: 7, stays: false };
    assert_eq!(version.earlier, [TimeInForce { time_ms: 1, by: None, rolled_back: Some(before) }]);
    assert_eq!((version.time_ms, version.by.as_deref()), (9, Some("ops")));
    for n in 0..2 * limits::PLUGIN_VERSIONS {
        for id in ["a", "b"] {
            let again = NewVersion { time_ms: 10 + n as u64, ..ran(id, "two") };
            history.record_version(&relay(), again, Some(b"two"), None).unwrap();
        }
    }
    let earlier = history.versions(&relay()).pop().unwrap().earlier;
    let last = 10 + 2 * limits::PLUGIN_VERSIONS as u64 - 2;
    assert_eq!((earlier.len(), earlier.last().unwrap().time_ms), (limits::PLUGIN_VERSIONS, last));
}

#[test]
fn a_canary_that_ended_is_kept_and_ends_once() {
    let data = tempfile::tempdir().unwrap();
    let history = History::new(data.path());
    let ended = |since_ms: u64, why: &str| CanaryStatus {
        since_ms,
        ended: Some(CanaryEnd { why: why.into(), time_ms: 9, event: Some(Seq(7)), ..CanaryEnd::default() }),
        ..CanaryStatus::default()
    };
    history.record_version(&relay(), ran("a", "one"), Some(b"one"), None).unwrap();
    for canary in [ended(1, "aborted"), ended(2, "it trapped"), ended(2, "it trapped again")] {
        history.record_canary(&relay(), canary).unwrap();
    }
    let reasons =
        || History::new(data.path()).canaries(&relay()).into_iter().filter_map(|canary| Some(canary.ended?.why));
    assert_eq!(reasons().collect::<Vec<_>>(), ["aborted", "it trapped again"]);
    history.record_version(&relay(), ran("b", "two"), Some(b"two"), None).unwrap();
    assert_eq!((reasons().count(), numbers(&history)), (2, vec![1, 2]));
    (3..20).for_each(|since_ms| history.record_canary(&relay(), ended(since_ms, "")).unwrap());
    assert_eq!(reasons().count(), limits::PLUGIN_VERSIONS);
    assert_eq!(history.canaries(&relay()).pop().unwrap(), ended(19, ""));
}

#[test]
fn a_history_of_an_earlier_host_is_read() {
    let data = tempfile::tempdir().unwrap();
    let history = History::new(data.path());
    fs::create_dir(data.path().join(FOLDER)).unwrap();
    let stored = r#"{"next":3,"versions":[{"number":3,"id":"a","digest":"sha256:1","component":"relay.wasm","settings":"",
        "timeMs":5,"version":"1.0","triggers":[],"grants":[],"grantsInForce":[],"imports":[],"rolledBack":null}]}"#;
    let canary = r#"{"digest":"sha256:1","sinceMs":5,"share":0.5,"devices":null,"events":3,"traps":1,"errors":0,"deadLetters":0,
        "medianUs":20,"inForceMedianUs":10,"why":"it trapped","endedMs":6,"byGuard":true,"event":9}"#;
    fs::write(data.path().join(FOLDER).join("relay.history.json"), stored).unwrap();
    let versions = history.versions(&relay());
    assert_eq!((versions[0].number, versions[0].time_ms, versions[0].earlier.len()), (3, 5, 0));
    assert!(history.canaries(&relay()).is_empty());
    let stored = stored.replace("\"rolledBack\":null}]", &format!("\"rolledBack\":null}}],\"canaries\":[{canary}]"));
    fs::write(data.path().join(FOLDER).join("relay.history.json"), stored).unwrap();
    let canary = history.canaries(&relay()).pop().unwrap();
    assert_eq!((canary.since_ms, canary.share, canary.median_us, canary.in_force_median_us), (5, Some(0.5), 20, 10));
    let end = CanaryEnd { why: "it trapped".into(), time_ms: 6, by_guard: true, event: Some(Seq(9)) };
    assert_eq!(canary.ended, Some(end));
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

#[test]
fn windows_that_one_task_stored_are_known_to_the_others() {
    let data = tempfile::tempdir().unwrap();
    let history = History::new(data.path());
    let (of_start, of_timer) = (history.clone(), history);
    assert!(of_timer.keeps_windows(&relay(), "{}"), "what an earlier host stored may still have to continue");
    of_timer.keep_windows(&relay(), "", None).unwrap();
    assert!(of_timer.keeps_windows(&relay(), ""));
    fs::create_dir_all(data.path().join(FOLDER)).unwrap();
    of_start.keep_windows(&relay(), "{}", None).unwrap();
    assert!(!of_timer.keeps_windows(&relay(), "") && of_timer.keeps_windows(&relay(), "{}"));
    of_timer.keep_windows(&relay(), "", None).unwrap();
    assert!(of_start.windows(&relay()).is_empty() && of_start.keeps_windows(&relay(), ""));
    of_start.forget(&relay());
    assert!(of_timer.keeps_windows(&relay(), "{}"));
}
