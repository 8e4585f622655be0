//! The twin document, made of the versions that are kept. Since when a path differs is read from their history, so that
//! it costs nothing while configs are made and survives every restart.

use serde_json::{Value, json};

use super::{
    Object,
    diff::{differences, fulfils},
    object,
};
use crate::{
    clock,
    store::{ConfigVersion, StateVersion},
};

/// One kept version of either document.
struct Version {
    number: u64,
    time_ms: u64,
    document: Result<Object, String>,
}

/// All that is kept of one of the two documents, oldest first.
struct History(Vec<Version>);

impl History {
    fn newest(&self) -> Option<&Version> {
        self.0.last()
    }

    /// What is in force; an object without members where there is none yet. None: it is no JSON object.
    fn in_force(&self) -> Option<Object> {
        match self.newest() {
            None => Some(Object::new()),
            Some(version) => version.document.as_ref().ok().cloned(),
        }
    }

    /// From when on it is known what was in force.
    fn known_from_ms(&self) -> u64 {
        self.0.first().filter(|oldest| oldest.number > 1).map_or(0, |oldest| oldest.time_ms)
    }

    /// What was in force then, as a value in which a path can be looked up.
    fn at(&self, time_ms: u64) -> Option<&Object> {
        let version = self.0.iter().rev().find(|version| version.time_ms <= time_ms)?;
        version.document.as_ref().ok()
    }
}

/// Desired and reported together. Both lists newest first, as the store has them.
#[must_use]
pub fn document(configs: &[ConfigVersion], states: &[StateVersion]) -> Value {
    let desired = configs.iter().rev().map(|v| (v.version, v.time_ms, &v.payload));
    let reported = states.iter().rev().map(|v| (v.version, v.time_ms, &v.payload));
    let read =
        |(number, time_ms, payload): (u64, u64, &bytes::Bytes)| Version { number, time_ms, document: object(payload) };
    let (desired, reported) = (History(desired.map(read).collect()), History(reported.map(read).collect()));
    let mut twin = Object::new();
    side(&mut twin, "desired", &desired);
    if let Some(config) = configs.iter().find(|config| config.acknowledged_ms.is_some()) {
        twin.insert("acknowledgedVersion".into(), config.version.to_string().into());
        twin.insert("acknowledgedTime".into(), config.acknowledged_ms.map(clock::rfc3339).into());
    }
    side(&mut twin, "reported", &reported);
    if let (Some(wanted), Some(is)) = (desired.in_force(), reported.in_force()) {
        twin.insert("differs".into(), differs(&wanted, &is, &desired, &reported));
    }
    Value::Object(twin)
}

fn side(twin: &mut Object, name: &str, history: &History) {
    let mut put = |field: String, value: Value| drop(twin.insert(field, value));
    put(name.to_owned(), history.in_force().map_or(Value::Null, Value::Object));
    put(format!("{name}Version"), history.newest().map_or(0, |v| v.number).to_string().into());
    let Some(newest) = history.newest() else { return };
    put(format!("{name}Time"), clock::rfc3339(newest.time_ms).into());
    if let Err(problem) = &newest.document {
        put(format!("{name}Problem"), format!("version {} is no JSON object: {problem}", newest.number).into());
    }
}

fn differs(wanted: &Object, is: &Object, desired: &History, reported: &History) -> Value {
    let known_from = desired.known_from_ms().max(reported.known_from_ms());
    let mut moments: Vec<u64> =
        desired.0.iter().chain(&reported.0).map(|v| v.time_ms).filter(|t| *t >= known_from).collect();
    moments.sort_unstable();
    let shown = differences(wanted, is).into_iter().map(|difference| {
        let held = |moment: &&u64| differed(&difference.path, desired.at(**moment), reported.at(**moment));
        let run: Vec<_> = moments.iter().rev().take_while(held).collect();
        let since = run.last().map_or(known_from, |moment| **moment);
        let mut shown = json!({"path": difference.path, "desired": difference.desired, "since": clock::rfc3339(since)});
        if let Some(fields) = shown.as_object_mut() {
            fields.extend(difference.reported.map(|value| ("reported".to_owned(), value.clone())));
            // The versions that would tell more are not kept any more.
            if known_from > 0 && run.len() == moments.len() {
                fields.insert("orBefore".into(), true.into());
            }
        }
        shown
    });
    shown.collect()
}

/// Whether the two differed in this path at one moment.
fn differed(path: &str, desired: Option<&Object>, reported: Option<&Object>) -> bool {
    let look = |object: Option<&Object>| object.and_then(|object| pointer(object, path)).cloned();
    look(desired).is_some_and(|wanted| !fulfils(&wanted, look(reported).as_ref()))
}

/// As `Value::pointer`, from an object.
fn pointer<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    let (first, rest) = match path.strip_prefix('/')?.split_once('/') {
        Some((first, _)) => (first, path.get(first.len() + 1..)?),
        None => (path.get(1..)?, ""),
    };
    object.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Cause, DeviceNum};

    /// (version, time, document), oldest first.
    type Versions<'a> = &'a [(u64, u64, &'a str)];

    fn twin(configs: Versions<'_>, states: Versions<'_>) -> Value {
        let payload = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let configs: Vec<_> = configs
            .iter()
            .rev()
            .map(|(version, time_ms, text)| ConfigVersion {
                device: DeviceNum(1),
                version: *version,
                time_ms: *time_ms,
                payload: payload(text),
                cause: Cause::Api { who: "test".into() },
                acknowledged_ms: (*version == 1).then_some(99),
            })
            .collect();
        let states: Vec<_> = states
            .iter()
            .rev()
            .map(|(version, time_ms, text)| StateVersion {
                device: DeviceNum(1),
                version: *version,
                time_ms: *time_ms,
                payload: payload(text),
            })
            .collect();
        document(&configs, &states)
    }

    #[test]
    fn both_documents_stand_in_it_with_versions_and_times() {
        assert_eq!(
            twin(
                &[(1, 1_000, r#"{"on":true}"#), (2, 2_000, r#"{"on":false}"#)],
                &[(7, 3_000, r#"{"on":false,"v":1}"#)]
            ),
            json!({
                "desired": {"on": false}, "desiredVersion": "2", "desiredTime": "1970-01-01T00:00:02.000Z",
                "acknowledgedVersion": "1", "acknowledgedTime": "1970-01-01T00:00:00.099Z",
                "reported": {"on": false, "v": 1}, "reportedVersion": "7", "reportedTime": "1970-01-01T00:00:03.000Z",
                "differs": [],
            })
        );
        assert_eq!(
            twin(&[], &[]),
            json!({"desired": {}, "desiredVersion": "0", "reported": {}, "reportedVersion": "0", "differs": []})
        );
    }

    #[test]
    fn a_document_that_is_no_object_is_named() {
        let shown = twin(&[(1, 0, "on")], &[(1, 0, "{}")]);
        assert_eq!(shown["desired"], Value::Null);
        assert!(shown["desiredProblem"].as_str().unwrap().contains("version 1 is no JSON object: it is no JSON"));
        assert_eq!((shown.get("differs"), shown.get("reportedProblem")), (None, None));
        let shown = twin(&[(1, 0, "{}")], &[(3, 0, "[1]")]);
        assert_eq!(shown["reportedProblem"], "version 3 is no JSON object: it is a JSON array");
    }

    #[test]
    fn a_path_differs_since_the_version_that_made_it_differ() {
        let on = r#"{"a":{"b":1},"c":1}"#;
        let other = r#"{"a":{"b":2},"c":1}"#;
        for (name, configs, states, since, or_before) in [
            ("desired moved away", &[(1, 10, on), (2, 30, other)][..], &[(1, 20, on)][..], 30, false),
            ("reported moved away", &[(1, 10, on)], &[(1, 20, on), (2, 40, other)], 40, false),
            (
                "another version that changes nothing",
                &[(1, 10, on), (2, 30, other), (3, 50, other)],
                &[(1, 20, on)],
                30,
                false,
            ),
            ("it was right for a while", &[(1, 10, other)], &[(1, 20, on), (2, 30, other), (3, 40, on)], 40, false),
            ("never reported at all", &[(1, 10, r#"{"a":{"b":1}}"#)], &[], 10, false),
            ("reported was no object", &[(1, 10, on)], &[(1, 20, on), (2, 30, "x"), (3, 40, other)], 30, false),
            ("older than what is kept", &[(1, 10, other)], &[(5, 50, on), (6, 60, on)], 50, true),
            ("within what is kept", &[(1, 10, on)], &[(5, 50, on), (6, 60, other)], 60, false),
        ] {
            let shown = twin(configs, states);
            let path = if states.is_empty() { "/a" } else { "/a/b" };
            let found = &shown["differs"][0];
            assert_eq!(
                (found["path"].as_str(), found["since"].as_str()),
                (Some(path), Some(&*clock::rfc3339(since))),
                "{name}"
            );
            assert_eq!(found.get("orBefore").is_some(), or_before, "{name}");
            assert_eq!(shown["differs"].as_array().unwrap().len(), 1, "{name}");
        }
    }
}
