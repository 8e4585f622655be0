//! The twin document, made of the versions that are kept. Since when a path differs is computed from their history, so that
//! it costs nothing while configs are made and survives every restart. Both documents stand in it byte for byte.

use switchbox_rules::json::{Difference, Invalid, Object, Tolerance, differences, fulfils, object};

use switchbox_model::limits;
use switchbox_store::{ConfigVersion, StateVersion};
use switchbox_support::clock;

/// The twin as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    pub text: String,
    /// Differences that are not in it, as there are more than [`limits::TWIN_DIFFERENCES`].
    pub left_out: usize,
}

/// One kept version of either document.
struct Version<'a> {
    number: u64,
    time_ms: u64,
    payload: &'a [u8],
    document: Result<Object<'a>, Invalid>,
}

/// All that is kept of one of the two documents, oldest first.
struct History<'a>(Vec<Version<'a>>);

impl<'a> History<'a> {
    /// Newest first, as the store has them.
    fn new(versions: impl DoubleEndedIterator<Item = (u64, u64, &'a [u8])>) -> Self {
        let read = |(number, time_ms, payload)| Version { number, time_ms, payload, document: object(payload) };
        Self(versions.rev().map(read).collect())
    }

    fn newest(&self) -> Option<&Version<'a>> {
        self.0.last()
    }

    /// From when on it is known what was in force.
    fn known_from_ms(&self) -> u64 {
        self.0.first().filter(|oldest| oldest.number > 1).map_or(0, |oldest| oldest.time_ms)
    }

    /// What was in force then. `None`: nothing, or no JSON object.
    fn at(&self, time_ms: u64) -> Option<&Object<'a>> {
        let version = self.0.iter().rev().find(|version| version.time_ms <= time_ms)?;
        version.document.as_ref().ok()
    }
}

/// Desired and reported together. Both lists newest first, as the store has them.
#[must_use]
pub fn document(configs: &[ConfigVersion], states: &[StateVersion], tolerance: Tolerance) -> Twin {
    let desired = History::new(configs.iter().map(|v| (v.version, v.time_ms, v.payload.as_ref())));
    let reported = History::new(states.iter().map(|v| (v.version, v.time_ms, v.payload.as_ref())));
    let mut twin = Fields::default();
    side(&mut twin, "desired", &desired);
    if let Some((config, time_ms)) = configs.iter().find_map(|config| Some((config, config.acknowledged_ms?))) {
        twin.text("acknowledgedVersion", &config.version.to_string());
        twin.text("acknowledgedTime", &clock::rfc3339(time_ms));
    }
    side(&mut twin, "reported", &reported);
    let nothing = Object::default();
    let in_force = |history: &History<'_>| history.newest().is_none_or(|newest| newest.document.is_ok());
    let mut left_out = 0;
    if in_force(&desired) && in_force(&reported) {
        let newest = |history| newest_object(history).unwrap_or(&nothing);
        let limit = (limits::TWIN_DIFFERENCES, limits::TWIN_DIFFERENCE_BYTES);
        let found = differences(newest(&desired), newest(&reported), tolerance, limit);
        let since = Since { desired: &desired, reported: &reported, tolerance };
        let shown: Vec<_> = found.found.iter().map(|difference| since.shown(difference)).collect();
        twin.raw("differs", &format!("[{}]", shown.join(",")));
        left_out = found.left_out;
        if left_out > 0 {
            twin.raw("differsLeftOut", &left_out.to_string());
        }
    }
    Twin { text: twin.finish(), left_out }
}

fn newest_object<'h, 'a>(history: &'h History<'a>) -> Option<&'h Object<'a>> {
    history.newest()?.document.as_ref().ok()
}

fn side(twin: &mut Fields, name: &str, history: &History<'_>) {
    let newest = history.newest();
    let shown = match newest {
        Some(Version { document: Err(_), .. }) => "null",
        Some(Version { payload, .. }) if !payload.trim_ascii().is_empty() => {
            // It is UTF-8, as it could be parsed.
            std::str::from_utf8(payload.trim_ascii()).unwrap_or("null")
        }
        _ => "{}",
    };
    twin.raw(name, shown);
    twin.text(&format!("{name}Version"), &newest.map_or(0, |v| v.number).to_string());
    let Some(newest) = newest else { return };
    twin.text(&format!("{name}Time"), &clock::rfc3339(newest.time_ms));
    if let Err(problem) = &newest.document {
        let what = match problem {
            Invalid::TooDeep(_) => "cannot be part of a twin",
            _ => "is no JSON object",
        };
        twin.text(&format!("{name}Problem"), &format!("version {} {what}: {problem}", newest.number));
    }
}

/// Finds out since when places differ.
struct Since<'h, 'a> {
    desired: &'h History<'a>,
    reported: &'h History<'a>,
    tolerance: Tolerance,
}

impl Since<'_, '_> {
    fn shown(&self, difference: &Difference<'_, '_>) -> String {
        let known_from = self.desired.known_from_ms().max(self.reported.known_from_ms());
        let times = self.desired.0.iter().chain(&self.reported.0).map(|version| version.time_ms);
        let mut moments: Vec<u64> = times.filter(|time| *time >= known_from).collect();
        moments.sort_unstable();
        let run: Vec<_> = moments.iter().rev().take_while(|moment| self.differed(&difference.keys, **moment)).collect();
        let since = run.last().map_or(known_from, |moment| **moment);
        let mut shown = Fields::default();
        shown.text("path", &difference.pointer());
        shown.raw("desired", difference.desired.text);
        if let Some(reported) = difference.reported {
            shown.raw("reported", reported.text);
        }
        shown.text("since", &clock::rfc3339(since));
        // The versions that would tell more are not kept any more.
        if known_from > 0 && run.len() == moments.len() {
            shown.raw("orBefore", "true");
        }
        shown.finish()
    }

    /// Whether the two differed in this place at one moment.
    fn differed(&self, keys: &[&[u8]], moment: u64) -> bool {
        let wanted = self.desired.at(moment).and_then(|object| object.at(keys));
        let is = self.reported.at(moment).and_then(|object| object.at(keys));
        wanted.is_some_and(|wanted| !fulfils(wanted, is, self.tolerance))
    }
}

/// Writes a JSON object.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn raw(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&string(name));
        self.0.push(':');
        self.0.push_str(json);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &string(text));
    }

    fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use switchbox_model::{Cause, DeviceNum};

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
        serde_json::from_str(&document(&configs, &states, Tolerance::EXACT).text).unwrap()
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

    #[test]
    fn the_documents_stand_in_it_byte_for_byte() {
        let (desired, reported) = (r#"{"z" : 1.50, "a":12345678901234567890123}"#, r#"{"z":1e400}"#);
        let configs = [config(desired)];
        let states = [StateVersion { device: DeviceNum(1), version: 1, time_ms: 0, payload: reported.into() }];
        let shown = document(&configs, &states, Tolerance::EXACT).text;
        for part in [
            format!(r#"{{"desired":{desired},"#),
            format!(r#""reported":{reported},"#),
            r#"{"path":"/z","desired":1.50,"reported":1e400,"since":"#.into(),
        ] {
            assert!(shown.contains(&part), "{part} is not in {shown}");
        }
    }

    #[test]
    fn a_document_that_differs_in_too_many_places_is_cut_short() {
        let members: Vec<_> = (0..limits::TWIN_DIFFERENCES + 7).map(|n| format!(r#""{n}":1"#)).collect();
        let shown = document(&[config(&format!("{{{}}}", members.join(",")))], &[], Tolerance::EXACT);
        assert_eq!(shown.left_out, 7);
        assert!(shown.text.ends_with(r#""differsLeftOut":7}"#));
        let members: Vec<_> = (0..1_000).map(|n| format!(r#""{n}":1"#)).collect();
        let long = format!(r#"{{"{}":{{{}}}}}"#, "x".repeat(50_000), members.join(","));
        let states = [StateVersion {
            device: DeviceNum(1),
            version: 1,
            time_ms: 0,
            payload: format!(r#"{{"{}":{{}}}}"#, "x".repeat(50_000)).into(),
        }];
        let shown = document(&[config(&long)], &states, Tolerance::EXACT);
        assert!(shown.left_out > 900 && shown.text.len() < 1_000_000, "{} left out", shown.left_out);
    }

    fn config(text: &str) -> ConfigVersion {
        let (device, payload, cause) = (DeviceNum(1), text.to_owned().into(), Cause::Api { who: "test".into() });
        ConfigVersion { device, version: 1, time_ms: 0, payload, cause, acknowledged_ms: None }
    }
}
