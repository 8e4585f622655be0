//! Where reported is not what desired asks for. What desired says nothing of is the device's own business and differs
//! from nothing.

use serde_json::Value;

use super::Object;

/// One place. `reported` none: the device has not reported it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference<'a> {
    /// A JSON pointer (RFC 6901).
    pub(super) path: String,
    pub(super) desired: &'a Value,
    pub(super) reported: Option<&'a Value>,
}

/// In the order of the paths.
pub(super) fn differences<'a>(desired: &'a Object, reported: &'a Object) -> Vec<Difference<'a>> {
    let mut found = Vec::new();
    collect(desired, reported, "", &mut found);
    found
}

fn collect<'a>(desired: &'a Object, reported: &'a Object, base: &str, found: &mut Vec<Difference<'a>>) {
    for (key, wanted) in desired {
        let path = format!("{base}/{}", key.replace('~', "~0").replace('/', "~1"));
        match (wanted, reported.get(key)) {
            (Value::Object(wanted), Some(Value::Object(is))) => collect(wanted, is, &path, found),
            (wanted, is) if !fulfils(wanted, is) => found.push(Difference { path, desired: wanted, reported: is }),
            _ => {}
        }
    }
}

/// Whether this is what is wanted: equal, and for objects equal in all that is named.
pub(super) fn fulfils(wanted: &Value, is: Option<&Value>) -> bool {
    match (wanted, is) {
        (Value::Object(wanted), Some(Value::Object(is))) => {
            wanted.iter().all(|(key, value)| fulfils(value, is.get(key)))
        }
        (wanted, Some(is)) => same(wanted, is),
        (_, None) => false,
    }
}

/// Numbers are equal when they mean the same: a device may well write 21.0 for 21.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn differences_are_named_by_json_pointers() {
        for (desired, reported, paths) in [
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
            (r#"{"a":1,"b":2}"#, "{}", &["/a", "/b"]),
        ] {
            let (wanted, is) = (object(desired), object(reported));
            let found: Vec<_> = differences(&wanted, &is).into_iter().map(|d| d.path).collect();
            assert_eq!(found, paths, "{desired} and {reported}");
            for path in found {
                assert!(Value::Object(wanted.clone()).pointer(&path).is_some(), "{path} is no pointer into {desired}");
            }
        }
    }
}
