//! Config and state for a client of Azure IoT Hub: JSON objects with `$version`, first both on request and then each change. A
//! config or a state that is not a JSON object counts as an empty one. Pure.

use std::fmt::Write as _;

use switchbox_rules::json::{Kind, Member, Object, Tolerance, Value, object, same};

use crate::same_layout::{self, put};

const VERSION: &[u8] = b"$version";

/// Both documents.
#[must_use]
pub fn document((config, config_version): (&[u8], u64), (state, state_version): (&[u8], u64)) -> String {
    let side = |document: &[u8], version| with_version(&object(document).unwrap_or_default(), version);
    format!("{{\"desired\":{},\"reported\":{}}}", side(config, config_version), side(state, state_version))
}

/// Writes the merge patch from one config to the other, in the order of the new one, in place of what `change` holds.
pub fn config_change(before: &[u8], after: &[u8], version: u64, change: &mut String) {
    let texts = std::str::from_utf8(before).ok().zip(std::str::from_utf8(after).ok());
    change.clear();
    change.push('{');
    if texts.and_then(|(before, after)| same_layout::differ(before, after, change)).is_none() {
        change.truncate(1);
        differ(&object(before).unwrap_or_default(), &object(after).unwrap_or_default(), change);
    }
    end(change, version);
}

/// Whether a client may send this as a merge patch on its state: a JSON object whose members do not begin with `$`.
#[must_use]
pub fn is_state_patch(patch: &[u8]) -> bool {
    !patch.trim_ascii().is_empty()
        && object(patch).is_ok_and(|patch| patch.sorted().all(|member| !member.key.starts_with(b"$")))
}

fn with_version(document: &Object<'_>, version: u64) -> String {
    let mut text = String::from("{");
    for member in document.sorted().filter(|member| *member.key != *VERSION) {
        put(&mut text, member.key_text, member.value.text);
    }
    end(&mut text, version);
    text
}

fn end(text: &mut String, version: u64) {
    put(text, "\"$version\"", "");
    // Writing to a String cannot fail.
    let _ = write!(text, "{version}}}");
}

/// Writes the members of the merge patch.
fn differ(before: &Object<'_>, after: &Object<'_>, change: &mut String) {
    let is_shown = |member: &&Member<'_>| *member.key != *VERSION;
    for member in before.sorted().filter(is_shown).filter(|member| after.get(&member.key).is_none()) {
        put(change, member.key_text, "null");
    }
    for member in after.counted().filter(is_shown) {
        match before.get(&member.key) {
            Some(known) if same(known, &member.value, Tolerance::EXACT) => {}
            Some(Value { kind: Kind::Object(known), .. }) if let Kind::Object(patched) = &member.value.kind => {
                let length = change.len();
                put(change, member.key_text, "{");
                let empty = change.len();
                differ(known, patched, change);
                if change.len() == empty {
                    change.truncate(length);
                } else {
                    change.push('}');
                }
            }
            _ => put(change, member.key_text, member.value.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_documents_have_their_versions() {
        for (config, state, expect) in [
            ("", "", r#"{"desired":{"$version":3},"reported":{"$version":7}}"#),
            (
                r#"{"on": true, "$version": 99}"#,
                r#" {"a": {"b": 1.50}} "#,
                r#"{"desired":{"on":true,"$version":3},"reported":{"a":{"b": 1.50},"$version":7}}"#,
            ),
            ("awake", "[1]", r#"{"desired":{"$version":3},"reported":{"$version":7}}"#),
        ] {
            assert_eq!(document((config.as_bytes(), 3), (state.as_bytes(), 7)), expect);
        }
    }

    #[test]
    fn a_change_is_what_makes_one_config_the_other() {
        for (before, after, expect) in [
            ("", r#"{"a":1}"#, r#"{"a":1,"$version":2}"#),
            (r#"{"a":1,"b":2}"#, r#"{"b":2.0,"c":[1]}"#, r#"{"a":null,"c":[1],"$version":2}"#),
            (r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"x":3}}"#, r#"{"a":{"y":null,"x":3},"$version":2}"#),
            (r#"{"a":{"x":1}}"#, r#"{"a":1}"#, r#"{"a":1,"$version":2}"#),
            ("no JSON", "{}", r#"{"$version":2}"#),
            (r#"{"a":1,"b":2}"#, "awake", r#"{"a":null,"b":null,"$version":2}"#),
            (r#"{"a":1}"#, "[1]", r#"{"a":null,"$version":2}"#),
            (r#"{"a":1}"#, "", r#"{"a":null,"$version":2}"#),
            ("awake", r#"{"a":1}"#, r#"{"a":1,"$version":2}"#),
            ("awake", "[1]", r#"{"$version":2}"#),
            (r#"{"$version":1,"b":[1],"a":1}"#, r#"{"b":[2],"a":2}"#, r#"{"b":[2],"a":2,"$version":2}"#),
            (r#"{"b":1,"a":1}"#, r#"{"b":2,"a":2}"#, r#"{"b":2,"a":2,"$version":2}"#),
            (r#"{"a":[],"b":1}"#, r#"{"a":[],"b":3,"b":2}"#, r#"{"b":2,"$version":2}"#),
            (r#"{"a":[],"b":{"$version":1}}"#, r#"{"a":[],"b":{"$version":2}}"#, r#"{"$version":2}"#),
        ] {
            let mut change = String::from("what was there");
            config_change(before.as_bytes(), after.as_bytes(), 2, &mut change);
            assert_eq!(change, expect, "{before} {after}");
        }
    }

    #[test]
    fn a_state_patch_is_an_object_without_members_of_the_hosts() {
        for (patch, valid) in [
            ("{}", true),
            (r#"{"a":null}"#, true),
            ("", false),
            ("[]", false),
            ("{", false),
            (r#"{"$version":1}"#, false),
        ] {
            assert_eq!(is_state_patch(patch.as_bytes()), valid, "{patch}");
        }
    }
}
