//! Twins as the documents that callers get.

use serde_json::{Value, json};

use super::*;

/// (version, time, document), oldest first.
type Versions<'a> = &'a [(u64, u64, &'static str)];

fn twin(configs: Versions<'_>, states: Versions<'_>) -> Value {
    let kept = |acknowledged: bool| {
        move |(number, time_ms, text): &(u64, u64, &'static str)| KeptVersion {
            number: *number,
            time_ms: *time_ms,
            payload: text.as_bytes(),
            acknowledged_ms: (acknowledged && *number == 1).then_some(99),
        }
    };
    let configs: Vec<_> = configs.iter().rev().map(kept(true)).collect();
    let states: Vec<_> = states.iter().rev().map(kept(false)).collect();
    serde_json::from_str(&document(&configs, &states, Tolerance::EXACT).text()).unwrap()
}

#[test]
fn both_documents_stand_in_it_with_versions_and_times() {
    assert_eq!(
        twin(&[(1, 1_000, r#"{"on":true}"#), (2, 2_000, r#"{"on":false}"#)], &[(7, 3_000, r#"{"on":false,"v":1}"#)]),
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
    assert!(shown["desiredProblem"].as_str().unwrap().contains("version 1 is not a JSON object: it is not JSON"));
    assert_eq!((shown.get("differs"), shown.get("reportedProblem")), (None, None));
    let shown = twin(&[(1, 0, "{}")], &[(3, 0, "[1]")]);
    assert_eq!(shown["reportedProblem"], "version 3 is not a JSON object: it is a JSON array");
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
        assert_eq!((found["path"].as_str(), found["since"].as_str()), (Some(path), Some(&*rfc3339(since))), "{name}");
        assert_eq!(found.get("orBefore").is_some(), or_before, "{name}");
        assert_eq!(shown["differs"].as_array().unwrap().len(), 1, "{name}");
    }
}

#[test]
fn the_documents_stand_in_it_byte_for_byte() {
    let (desired, reported) = (r#"{"z" : 1.50, "a":12345678901234567890123}"#, r#"{"z":1e400}"#);
    let shown = document(&[first(desired)], &[first(reported)], Tolerance::EXACT).text();
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
    let desired = format!("{{{}}}", members.join(","));
    let shown = document(&[first(&desired)], &[], Tolerance::EXACT);
    assert_eq!(shown.left_out, 7);
    assert!(shown.text().ends_with(r#""differsLeftOut":7}"#));
    let members: Vec<_> = (0..1_000).map(|n| format!(r#""{n}":1"#)).collect();
    let long = format!(r#"{{"{}":{{{}}}}}"#, "x".repeat(50_000), members.join(","));
    let reported = format!(r#"{{"{}":{{}}}}"#, "x".repeat(50_000));
    let shown = document(&[first(&long)], &[first(&reported)], Tolerance::EXACT);
    let left_out = shown.left_out;
    assert!(left_out > 900 && shown.text().len() < 1_000_000, "{left_out} left out");
}

/// The first version of a document.
fn first(text: &str) -> KeptVersion<'_> {
    KeptVersion { number: 1, time_ms: 0, payload: text.as_bytes(), acknowledged_ms: None }
}
