//! Examples of each rule, and properties that hold for any document.

use proptest::{prelude::*, test_runner::Config};

use crate::json::{
    DEPTH, Invalid, Kind, PatchError, Tolerance, Value, compact, differences, explain, fulfils, object, parse, patched,
    pretty, same, to_serde,
};

const LIMIT: usize = 64 * 1024;

fn merged(document: &str, patch: &str) -> String {
    patched(document.as_bytes(), patch.as_bytes(), LIMIT).unwrap().unwrap_or_else(|| document.to_owned())
}

fn exact(one: &str, other: &str) -> bool {
    same(&parse(one.as_bytes()).unwrap(), &parse(other.as_bytes()).unwrap(), Tolerance::EXACT)
}

/// The examples of RFC 7396, appendix A, whose target and patch are objects, and the rules of the RFC.
#[test]
fn a_merge_patch_does_what_the_rfc_says() {
    for (document, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"{"a":"foo"}"#, r#"{"a":{"b":null,"c":1}}"#, r#"{"a":{"c":1}}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ("", r#"{"a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
    ] {
        assert_eq!(merged(document, patch), expected, "{document} + {patch}");
    }
}

#[test]
fn what_a_patch_does_not_name_keeps_its_bytes() {
    for (document, patch, expected) in [
        (
            r#"{"z":1.5777777777770001,"a":1E5,"id":12345678901234567890123}"#,
            r#"{"on":true}"#,
            r#"{"z":1.5777777777770001,"a":1E5,"id":12345678901234567890123,"on":true}"#,
        ),
        (
            "{ \"a\" : 1.50 ,\n  \"b\" : \"\\u00e4\" }\n",
            r#"{"a":2e400}"#,
            "{ \"a\" : 2e400 ,\n  \"b\" : \"\\u00e4\" }\n",
        ),
        (r#"{"a":{"y":-0,"x":[1.0, 2]},"b":1}"#, r#"{"a":{"y":7}}"#, r#"{"a":{"y":7,"x":[1.0, 2]},"b":1}"#),
        (r#"{ "a": 1, "b": 2, "c": 3 }"#, r#"{"a":null}"#, r#"{ "b": 2, "c": 3 }"#),
        (r#"{ "a": 1, "b": 2, "c": 3 }"#, r#"{"b":null}"#, r#"{ "a": 1, "c": 3 }"#),
        (r#"{ "a": 1, "b": 2, "c": 3 }"#, r#"{"c":null}"#, r#"{ "a": 1, "b": 2 }"#),
        (r#"{ "a": 1, "b": 2, "c": 3 }"#, r#"{"a":null,"b":null}"#, r#"{ "c": 3 }"#),
        (r#"{ "a": 1, "b": 2, "c": 3 }"#, r#"{"a":null,"b":5,"c":null,"d":1}"#, r#"{ "b": 5,"d":1 }"#),
        (r#"{ "a": 1, "b": 2 }"#, r#"{"a":null,"b":null}"#, "{  }"),
        (r#"{ "a": 1, "b": 2 }"#, r#"{"a":null,"b":null,"c":3}"#, r#"{ "c":3 }"#),
        // The patch's own digits, escapes and white space in arrays come along.
        ("{ }", r#"{ "n" : 1.50, "o" : { "x" : [ 1, null ], "y" : null } }"#, r#"{"n":1.50,"o":{"x":[ 1, null ]} }"#),
        // Names are compared by what they say.
        (r#"{"\u0061":1,"b":2}"#, r#"{"a":3}"#, r#"{"\u0061":3,"b":2}"#),
        (r#"{"\ud83d\ude00":1}"#, r#"{"😀":3}"#, r#"{"\ud83d\ude00":3}"#),
        (r#"{"\ud83d":1}"#, r#"{"\uD83D":3,"\ufffd":4}"#, r#"{"\ud83d":3,"\ufffd":4}"#),
        // Of members with the same name the last counts; a patch that names it leaves one.
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"b":5}"#, r#"{"a":1,"b":5,"a":3}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":5}"#, r#"{"b":2,"a":5}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":null}"#, r#"{"b":2}"#),
        ("{}", r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2,"a":3}"#),
    ] {
        assert_eq!(merged(document, patch), expected, "{document} + {patch}");
    }
}

#[test]
fn a_patch_that_changes_nothing_says_so() {
    for (document, patch) in [
        ("", "{}"),
        (" {} ", "{ }"),
        ("", r#"{"a":null}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":{}}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":{"c":null,"b":1}}"#),
        (r#"{"a":21,"b":[1,{"c":"ä"}]}"#, r#"{"b":[1.0,{"c":"\u00e4"}],"a":2.1e1}"#),
        (r#"{"id":12345678901234567890123}"#, r#"{"id":12345678901234567890123}"#),
    ] {
        assert_eq!(patched(document.as_bytes(), patch.as_bytes(), LIMIT), Ok(None), "{document} + {patch}");
    }
    assert_eq!(
        merged(r#"{"id":12345678901234567890123}"#, r#"{"id":12345678901234567890124}"#),
        r#"{"id":12345678901234567890124}"#
    );
}

#[test]
fn what_cannot_be_patched_is_refused_with_what_to_do() {
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(LIMIT));
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for (document, patch, part) in [
        ("{}", "3", "must be a JSON object"),
        ("{}", "null", "must be a JSON object"),
        ("{}", "", "it is empty"),
        ("{}", "{\"a\":", "not JSON"),
        ("{}", deep.as_str(), "such as {\"on\": true}: it is nested deeper than 128 levels"),
        ("on", r#"{"a":1}"#, "set a whole config first"),
        ("[1]", r#"{"a":1}"#, "JSON array"),
        (deep.as_str(), r#"{"a":1}"#, "it is nested deeper than 128 levels): set a whole config first"),
        ("{}", large.as_str(), "at most 65536"),
    ] {
        let problem = patched(document.as_bytes(), patch.as_bytes(), LIMIT).unwrap_err().to_string();
        assert!(problem.contains(part), "{document:.20} + {patch:.20}: {problem}");
    }
}

#[test]
fn a_document_does_not_grow_by_itself_past_its_limit() {
    let digits = "7".repeat(LIMIT - 25);
    let document = format!(r#"{{"n":1{digits}E5,"on":false}}"#);
    let once = patched(document.as_bytes(), br#"{"on":true}"#, document.len()).unwrap().unwrap();
    assert_eq!(once.len(), document.len() - 1);
    let problem = patched(document.as_bytes(), br#"{"more":1}"#, document.len()).unwrap_err();
    assert_eq!(problem, PatchError::TooLarge { bytes: document.len() + 9, limit: document.len() });
}

#[test]
fn what_is_json_is_never_called_none() {
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for text in
        [r#"{"temperature":1e400}"#, r#"{"a":-0.0E-0}"#, r#"{"a":"\ud800"}"#, "\r\n\t {} ", &nest(128), "1", "\"\""]
    {
        assert_eq!(parse(text.as_bytes()).unwrap().text, text.trim_ascii(), "{text}");
    }
    assert_eq!(parse(nest(129).as_bytes()).unwrap_err(), Invalid::TooDeep(DEPTH));
    // A million levels take no more stack than one.
    assert_eq!(parse(nest(1_000_000).as_bytes()).unwrap_err(), Invalid::TooDeep(DEPTH));
    for (text, part) in [
        ("", "it ends too early"),
        ("{\"a\":", "it ends too early"),
        ("on", "not JSON: expected"),
        ("{\"a\":01}", "not JSON: invalid number"),
        ("{} {}", "trailing characters"),
        ("{\"a\":NaN}", "expected value"),
        ("\u{feff}{}", "not JSON: expected value"),
    ] {
        let problem = parse(text.as_bytes()).unwrap_err().to_string();
        assert!(problem.contains(part), "{text}: {problem}");
    }
    assert_eq!(parse(b"{\"\xff\":1}").unwrap_err().to_string(), "it is not JSON: byte 2 is not UTF-8");
}

#[test]
fn numbers_are_compared_by_value_at_any_size() {
    for (one, other, expected) in [
        ("21", "21.0", true),
        ("21", "2.1e1", true),
        ("21", "210E-1", true),
        ("0.21e2", "2100e-2", true),
        ("0", "-0", true),
        ("0", "-0.000e7", true),
        ("0e999999999999999999999999999999999999999", "0", true),
        ("1", "-1", false),
        ("1724442618569203714", "1724442618569203713", false),
        ("18446744073709551616", "18446744073709551617", false),
        ("18446744073709551616", "1.8446744073709551616e19", true),
        ("-18446744073709551616", "18446744073709551616", false),
        ("0.1234567890123456789", "0.1234567890123456788", false),
        ("0.1", "0.100000000000000005", false),
        ("1e400", "10e399", true),
        ("1e400", "1e401", false),
        ("1e1000000000", "10e999999999", true),
        ("1e-1000000000", "0", false),
        ("1e123456789012345678901234567890", "10e123456789012345678901234567889", true),
        ("1e99999999999999999999999999999999999999999", "1e+099999999999999999999999999999999999999999", true),
        ("1e99999999999999999999999999999999999999999", "1e-99999999999999999999999999999999999999999", false),
    ] {
        assert_eq!(exact(one, other), expected, "{one} and {other}");
        assert_eq!(exact(&format!(r#"{{"a":[{one}]}}"#), &format!(r#"{{"a":[{other}]}}"#)), expected, "{one}, {other}");
    }
}

#[test]
fn a_tolerance_is_for_numbers_with_a_fraction() {
    let within = |one: &str, other: &str, tolerance: Tolerance| {
        same(&parse(one.as_bytes()).unwrap(), &parse(other.as_bytes()).unwrap(), tolerance)
    };
    let float32: Tolerance = "float32".parse().unwrap();
    for number in [0.1_f32, 21.3, -273.15, 1e-20, 1234567.8] {
        let (written, reported) = (number.to_string(), f64::from(number).to_string());
        assert!(within(&written, &reported, float32), "{written} and {reported}");
    }
    for (one, other, tolerance, expected) in [
        ("21.3", "21.31", "1e-3", true),
        ("21.3", "21.31", "1e-4", false),
        ("21", "21.01", "1e-3", true),
        ("0", "0.0001", "0.5", false),
        ("1724442618569203714", "1724442618569203713", "0.1", false),
        ("1e400", "1.1e400", "0.5", false),
        ("\"21.3\"", "\"21.31\"", "0.5", false),
        ("[21.3]", "[21.31]", "0.5", true),
    ] {
        assert_eq!(within(one, other, tolerance.parse().unwrap()), expected, "{one}, {other}, {tolerance}");
    }
    for text in ["1", "-0.1", "NaN", "", "much", "inf"] {
        let error = text.parse::<Tolerance>().unwrap_err().to_string();
        assert!(error.contains("from 0 up to 1"), "{error}");
    }
}

fn pointers(desired: &str, reported: &str, limits: (usize, usize)) -> (Vec<String>, usize) {
    let (desired, reported) = (object(desired.as_bytes()).unwrap(), object(reported.as_bytes()).unwrap());
    let found = differences(&desired, &reported, Tolerance::EXACT, limits);
    for difference in &found.found {
        assert!(!fulfils(difference.desired, difference.reported, Tolerance::EXACT));
        assert_eq!(desired.at(&difference.keys).map(|value| value.start), Some(difference.desired.start));
    }
    (found.found.iter().map(crate::json::Difference::pointer).collect(), found.left_out)
}

#[test]
fn differences_are_named_by_json_pointers() {
    for (desired, reported, expected) in [
        ("{}", "{}", &[][..]),
        (r#"{"a":1}"#, r#"{"a":1}"#, &[]),
        (r#"{"a":1}"#, r#"{"a":2}"#, &["/a"]),
        (r#"{"a":1}"#, "{}", &["/a"]),
        ("{}", r#"{"a":1}"#, &[]),
        (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1,"c":3,"d":4}}"#, &["/a/c"]),
        (r#"{"a":{"b":1}}"#, r#"{"a":7}"#, &["/a"]),
        (r#"{"a":{}}"#, "{}", &["/a"]),
        (r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, &["/a"]),
        (r#"{"a":21,"b":[1.0]}"#, r#"{"a":21.0,"b":[1]}"#, &[]),
        (r#"{"a":null}"#, "{}", &["/a"]),
        (r#"{"a/b":1,"c~d":{"":2}}"#, r#"{"c~d":{}}"#, &["/a~1b", "/c~0d/"]),
        (r#"{"b":1,"a":2}"#, "{}", &["/a", "/b"]),
        (r#"{"fw":1724442618569203714}"#, r#"{"fw":1724442618569203713}"#, &["/fw"]),
        (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, &["/a"]),
    ] {
        assert_eq!(pointers(desired, reported, (10, 1_000)).0, expected, "{desired} and {reported}");
    }
    assert_eq!(pointers(r#"{"a":1,"b":2,"c":3}"#, "{}", (2, 1_000)), (vec!["/a".into(), "/b".into()], 1));
    assert_eq!(pointers(r#"{"a":1,"bb":2,"c":3}"#, "{}", (9, 4)), (vec!["/a".into(), "/c".into()], 1));
}

#[test]
fn for_serde_every_number_is_the_nearest_that_there_is() {
    let value = parse(br#"{"a":[1e400,-1e400,7,1.5,"\ud800x"],"b":null,"a":true}"#).unwrap();
    assert_eq!(to_serde(&value), serde_json::json!({"a": true, "b": null}));
    let value = parse(br#"[1e400,-1e400,18446744073709551615,1.5,"\ud800x"]"#).unwrap();
    assert_eq!(to_serde(&value), serde_json::json!([f64::MAX, f64::MIN, u64::MAX, 1.5, "\u{fffd}\u{fffd}\u{fffd}x"]));
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    for (text, words) in [
        (deep.as_str(), "it is nested deeper than 127 levels at line 1 column 128"),
        ("1e400", "a number is larger than 64-bit floating point can hold at line 1 column 5"),
        ("on", "expected value at line 1 column 1"),
    ] {
        assert_eq!(explain(&serde_json::from_str::<serde_json::Value>(text).unwrap_err()), words);
    }
}

/// Any number as JSON allows it, and its value: digits × 10^exponent, where the digits do not end with 0.
fn any_number() -> impl Strategy<Value = (String, (bool, String, i64))> {
    let digits = "(0|[1-9][0-9]{0,25})";
    (any::<bool>(), digits, proptest::option::of("[0-9]{1,25}"), proptest::option::of(("[eE][+-]?", "[0-9]{1,3}")))
        .prop_map(|(negative, whole, fraction, exponent)| {
            let mut text = format!("{}{whole}", if negative { "-" } else { "" });
            let fraction = fraction.unwrap_or_default();
            if !fraction.is_empty() {
                text += &format!(".{fraction}");
            }
            let mut power = 0_i64;
            if let Some((sign, digits)) = exponent {
                text += &format!("{sign}{digits}");
                power = digits.parse::<i64>().unwrap() * if sign.ends_with('-') { -1 } else { 1 };
            }
            let all = format!("{whole}{fraction}");
            let kept = all.trim_end_matches('0');
            let power = power - fraction.len() as i64 + (all.len() - kept.len()) as i64;
            let kept = kept.trim_start_matches('0').to_owned();
            let value = if kept.is_empty() { (false, kept, 0) } else { (negative, kept, power) };
            (text, value)
        })
}

/// Another representation of the same number.
fn rewritten(text: &str, shift: i64, zeros: usize) -> String {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().unwrap();
    let (negative, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}{}", "0".repeat(zeros));
    let all = all.trim_start_matches('0');
    let power = exponent - (fraction.len() + zeros) as i64;
    let all = if all.is_empty() { "0" } else { all };
    // Leading zeros after a point move it.
    let shift = usize::try_from(shift).unwrap();
    if shift == 0 {
        return format!("{negative}{all}e{power}");
    }
    format!("{negative}0.{}{all}E+0{}", "0".repeat(shift), power + (shift + all.len()) as i64).replace("+0-", "-0")
}

/// Documents with few names, so that patches meet them.
fn any_json(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any_number().prop_map(|(text, _)| text),
        prop_oneof![Just("\"\""), Just("\"ä\""), Just("\"\\u00e4\""), Just("\"\\\"}{,\\\\\""), Just("\"\\ud800\"")]
            .prop_map(str::to_owned),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let array = (proptest::collection::vec(any_json(depth - 1), 0..3), space())
        .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},{space}"))));
    prop_oneof![2 => leaf, 1 => array, 3 => any_object(depth)].boxed()
}

fn any_object(depth: u32) -> BoxedStrategy<String> {
    let name =
        prop_oneof![Just("\"a\""), Just("\"\\u0061\""), Just("\"b\""), Just("\"c\""), Just("\"ä,}\""), Just("\"\"")];
    let members = proptest::collection::vec((name, any_json(depth - 1)), 0..5);
    (members, space())
        .prop_map(|(members, space)| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}{space}:{space}{value}")).collect();
            format!("{space}{{{space}{}{space}}}{space}", members.join(&format!("{space},{space}")))
        })
        .boxed()
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just(" "), Just("\n\t"), Just("\r")]
}

/// The algorithm of RFC 7396 on values of `serde_json`, with numbers as texts so that they are exact.
fn rfc_7396(target: serde_json::Value, patch: &serde_json::Value) -> serde_json::Value {
    let serde_json::Value::Object(patch) = patch else { return patch.clone() };
    let mut object = if let serde_json::Value::Object(object) = target { object } else { serde_json::Map::new() };
    for (name, value) in patch {
        if value.is_null() {
            object.remove(name);
        } else {
            let old = object.remove(name).unwrap_or_default();
            object.insert(name.clone(), rfc_7396(old, value));
        }
    }
    serde_json::Value::Object(object)
}

/// The value with each number as a text of its own kind, so that no digit is lost; equal numbers are equal texts.
fn model(value: &Value<'_>) -> serde_json::Value {
    match &value.kind {
        Kind::Number => format!("number {:?}", value_of(value.text)).into(),
        Kind::Array(items) => items.iter().map(model).collect(),
        Kind::Object(object) => serde_json::Value::Object(
            object.members().iter().map(|m| (format!("{:?}", m.key), model(&m.value))).collect(),
        ),
        Kind::String(bytes) => format!("text {bytes:?}").into(),
        _ => to_serde(value),
    }
}

/// A number's value by another way than the one under test: moves the point with strings.
fn value_of(text: &str) -> (bool, String, i64) {
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{}{fraction}", whole.trim_start_matches('-'));
    let kept = all.trim_end_matches('0');
    let power = exponent.parse::<i64>().unwrap() - fraction.len() as i64 + (all.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0').to_owned();
    if kept.is_empty() { (false, kept, 0) } else { (whole.starts_with('-'), kept, power) }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(512) })]

    #[test]
    fn two_numbers_are_the_same_exactly_when_their_values_are((one, value) in any_number(), (other, another) in any_number()) {
        prop_assert_eq!(exact(&one, &other), value == another, "{} and {}", one, other);
    }

    #[test]
    fn a_number_is_itself_however_it_is_written((one, _) in any_number(), shift in 0_i64..5, zeros in 0_usize..5) {
        let other = rewritten(&one, shift, zeros);
        prop_assert!(exact(&one, &other), "{} and {}", one, other);
    }

    #[test]
    fn a_document_is_read_as_serde_json_reads_it(text in any_json(3)) {
        let value = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(value.text, text.trim_ascii());
        if let Ok(read) = serde_json::from_str::<serde_json::Value>(&text) {
            prop_assert_eq!(to_serde(&value), read);
        }
    }

    #[test]
    fn white_space_is_all_that_laying_out_changes(text in any_json(3)) {
        let value = parse(text.as_bytes()).unwrap();
        let (short, long) = (compact(&value), pretty(&value));
        let without_space = |text: &str| text.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>();
        prop_assert_eq!(&short, &without_space(&text));
        prop_assert_eq!(&short, &without_space(&long));
        prop_assert_eq!(parse(long.as_bytes()).unwrap().text, long.as_str());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "[\\[\\]{}\",:0-9eE.\\\\u+-]{0,30}") {
        for document in [&bytes, text.as_bytes()] {
            let known = std::str::from_utf8(document).is_ok_and(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok());
            prop_assert_eq!(parse(document).is_ok(), known);
        }
    }

    #[test]
    fn a_patch_does_what_the_rfc_says_and_twice_is_once(document in any_object(3), patch in any_object(3)) {
        let after = merged(&document, &patch);
        let (before, patch_value) = (parse(document.as_bytes()).unwrap(), parse(patch.as_bytes()).unwrap());
        let read = parse(after.as_bytes()).unwrap();
        prop_assert_eq!(model(&read), rfc_7396(model(&before), &model(&patch_value)), "{} + {} = {}", document, patch, after);
        prop_assert_eq!(patched(after.as_bytes(), patch.as_bytes(), LIMIT), Ok(None), "{} + {} = {}", document, patch, after);
    }

    #[test]
    fn members_that_a_patch_does_not_name_keep_their_bytes_and_order(document in any_object(3), patch in any_object(2)) {
        let after = merged(&document, &patch);
        let (before, patch_value) = (object(document.as_bytes()).unwrap(), object(patch.as_bytes()).unwrap());
        let untouched = |of: &str| -> Vec<(String, String)> {
            let of = object(of.as_bytes()).unwrap();
            let members = of.members().iter().filter(|m| patch_value.get(&m.key).is_none());
            members.map(|m| (m.key_text.to_owned(), m.value.text.to_owned())).collect()
        };
        prop_assert_eq!(untouched(&document), untouched(&after));
        prop_assert!(after.len() <= document.len() + patch.len() + 2 * before.members().len());
    }

    #[test]
    fn nothing_differs_exactly_when_it_is_fulfilled(desired in any_object(3), reported in any_object(3)) {
        let (desired_value, is) = (parse(desired.as_bytes()).unwrap(), parse(reported.as_bytes()).unwrap());
        let (names, left_out) = pointers(&desired, &reported, (1_000, 10_000));
        prop_assert_eq!(names.is_empty() && left_out == 0, fulfils(&desired_value, Some(&is), Tolerance::EXACT));
        prop_assert!(fulfils(&desired_value, Some(&desired_value), Tolerance::EXACT));
    }
}
