//! Finds triggers and grants that can never have an effect: patterns that no device or topic can match, and grants that the component
//! does not ask for. The first are errors in a settings file; all others are warnings. Pure.

use super::{
    grants::{Capability, GrantPatterns, GrantRequest},
    trigger::Trigger,
};
use switchbox_model::EventKind;
use switchbox_rules::topic::{self, is_hosts_own};

/// Why no event can match the trigger.
pub(super) fn trigger(trigger: &Trigger) -> Option<String> {
    if trigger.subfolder.is_some() && trigger.event != EventKind::Telemetry {
        return Some("subfolder is for event = \"telemetry\" alone: no other event has one".into());
    }
    match trigger.event {
        EventKind::Timer => None,
        EventKind::Topic => {
            hosts_topic(&trigger.device).map(|why| format!("{:?} is never seen: {why}", trigger.device))
        }
        _ => ids(&trigger.device),
    }
}

/// Why no device's id matches the pattern.
#[must_use]
pub fn ids(pattern: &str) -> Option<String> {
    device_id(pattern).map(|why| format!("{pattern:?} matches no device: {why}"))
}

/// Why this grant allows nothing.
pub(super) fn grant(capability: Capability, pattern: &str) -> Option<String> {
    match capability {
        Capability::Publish => hosts_topic(pattern).map(|why| format!("{pattern:?} allows nothing: {why}")),
        _ => device(pattern).map(|why| format!("{pattern:?} matches no device: {why}")),
    }
}

/// Why no topic for plugins can match: the host's own topics are excluded.
fn hosts_topic(filter: &str) -> Option<&'static str> {
    is_hosts_own(filter).then_some("topics below /devices/ and registries/ and those that begin with $ are the host's own; use event = \"telemetry\", \"state\" and the grants config, command and method for devices")
}

fn device(pattern: &str) -> Option<&'static str> {
    // These can match any number of levels.
    if pattern.contains("**") || pattern.contains(['{', '[']) {
        return None;
    }
    let levels: Vec<_> = pattern.split('/').collect();
    match levels.as_slice() {
        [id] | [_, id] => device_id(id),
        [_, _, _, _, _, _, devices, id] if glob_may_be(devices, "devices") => device_id(id),
        _ => Some("write lamp-*, registry/lamp-* or projects/p/locations/l/registries/r/devices/lamp-*"),
    }
}

fn glob_may_be(level: &str, word: &str) -> bool {
    level == word || level.contains(['*', '?', '\\'])
}

fn device_id(pattern: &str) -> Option<&'static str> {
    let id = |c: char| c.is_ascii_alphanumeric() || "-_.~%:".contains(c);
    if pattern.is_empty() {
        Some("it is empty")
    } else if pattern.contains('/') && !pattern.contains("**") {
        Some("it is matched against the device's id, which has no /")
    } else if !pattern.chars().all(|c| id(c) || "*?[]{}!^,\\/".contains(c)) {
        Some("a device's id has only letters, digits and - _ . ~ % :")
    } else {
        None
    }
}

/// What is both asked for and granted, for display: each pattern once, and the narrower of two if one covers the other.
#[must_use]
pub fn in_force(requests: &[GrantRequest], granted: Option<&GrantPatterns>) -> Vec<GrantRequest> {
    let Some(granted) = granted else { return requests.to_vec() };
    let mut found: Vec<GrantRequest> = Vec::new();
    for GrantRequest { capability, pattern: requested } in requests {
        for given in granted.get(capability).into_iter().flatten() {
            let Some(pattern) = common(*capability, requested, given) else { continue };
            let grant = GrantRequest { capability: *capability, pattern };
            if !found.contains(&grant) {
                found.push(grant);
            }
        }
    }
    // A part of a pattern that is listed as a whole is left out.
    let whole: Vec<_> = found.iter().filter(|grant| !grant.pattern.contains(PART)).cloned().collect();
    found.retain(|grant| {
        let of = |whole: &GrantRequest| {
            grant.pattern.strip_prefix(&whole.pattern).is_some_and(|rest| rest.starts_with(PART))
        };
        !whole.iter().any(|whole| whole.capability == grant.capability && of(whole))
    });
    found
}

/// The text between a pattern and the one that narrows it.
const PART: &str = " (of these ";

/// The two patterns of a grant as [`in_force`] shows it: what is granted, and what is asked for.
pub(super) fn both(shown: &str) -> (&str, &str) {
    let parts = shown.strip_suffix(')').and_then(|shown| shown.split_once(PART));
    parts.unwrap_or((shown, shown))
}

/// Returns `None` if the two have nothing in common.
fn common(capability: Capability, requested: &str, given: &str) -> Option<String> {
    if requested == given || covers(capability, requested, given) {
        Some(given.to_owned())
    } else if covers(capability, given, requested) {
        Some(requested.to_owned())
    } else if never_overlap(capability, requested, given) {
        None
    } else {
        Some(format!("{given}{PART}{requested})"))
    }
}

/// Whether `wide` matches all that `narrow` matches. For globs it returns false if that cannot be decided easily.
pub(super) fn covers(capability: Capability, wide: &str, narrow: &str) -> bool {
    let one_level = !narrow.contains(['/', '{', '[', '\\']) && !narrow.contains("**");
    match (capability, wide) {
        (Capability::Publish, _) => topic::covers(wide, narrow),
        (_, "**") => true,
        (_, "*") => one_level,
        // `lamp-*` covers `lamp-1` and `lamp-1*`.
        _ => wide.strip_suffix('*').is_some_and(|begin| one_level && is_literal(begin) && narrow.starts_with(begin)),
    }
}

const WILD: [char; 5] = ['*', '?', '[', '{', '\\'];

fn is_literal(text: &str) -> bool {
    !text.contains(WILD)
}

/// Whether nothing is matched by both. For globs: whether they differ before the first wildcard.
fn never_overlap(capability: Capability, one: &str, other: &str) -> bool {
    if capability == Capability::Publish {
        return !topic::overlap(one, other);
    }
    // A pattern without a registry may name devices of any.
    if one.contains('/') != other.contains('/') {
        return false;
    }
    let beginning = |text: &str| text.find(WILD).unwrap_or(text.len());
    let (one_begins, other_begins) =
        (one.get(..beginning(one)).unwrap_or(one), other.get(..beginning(other)).unwrap_or(other));
    match (is_literal(one), is_literal(other)) {
        (true, true) => one != other,
        (true, false) => !one.starts_with(other_begins),
        (false, true) => !other.starts_with(one_begins),
        (false, false) => !one_begins.starts_with(other_begins) && !other_begins.starts_with(one_begins),
    }
}

/// Warnings for the operator, one line each.
#[must_use]
pub fn warnings(requests: &[GrantRequest], granted: Option<&GrantPatterns>, triggers: &[Trigger]) -> Vec<String> {
    let mut warnings = Vec::new();
    if triggers.is_empty() {
        warnings.push("has no trigger, so it gets no events".to_owned());
    }
    let useless = triggers.iter().filter_map(trigger).map(|why| format!("a trigger of it never fires: {why}"));
    warnings.extend(useless);
    let asks = requests.iter().filter_map(|asks| {
        let why = grant(asks.capability, &asks.pattern)?;
        Some(format!("asks for {}, and {why}", asks.capability.as_str()))
    });
    warnings.extend(asks);
    for (capability, patterns) in granted.into_iter().flatten() {
        for given in patterns {
            let mut requested = requests.iter().filter(|asks| asks.capability == *capability).peekable();
            let asks_for_it = requested.peek().is_some();
            if requested.any(|asks| common(*capability, &asks.pattern, given).is_some()) {
                continue;
            }
            let name = capability.as_str();
            let why = if asks_for_it { "the component asks for others" } else { "the component does not ask for it" };
            warnings.push(format!("the grant {name} = [\"{given}\"] has no effect: {why}"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(capability: Capability, pattern: &str) -> GrantRequest {
        GrantRequest { capability, pattern: pattern.into() }
    }

    #[test]
    fn a_trigger_that_can_never_fire_is_found() {
        for (event, device, subfolder, fires) in [
            (EventKind::Telemetry, "*", None, true),
            (EventKind::Telemetry, "{lamp,fan}-[0-9]?", Some("a/*"), true),
            (EventKind::Telemetry, "hall/lamp-*", None, false),
            (EventKind::Telemetry, "projects/p/locations/l/registries/r/devices/x", None, false),
            (EventKind::Telemetry, "my lamp", None, false),
            (EventKind::State, "", None, false),
            (EventKind::State, "lamp-*", Some("buttons"), false),
            (EventKind::Topic, "alerts/#", None, true),
            (EventKind::Topic, "#", None, true),
            (EventKind::Topic, "/devices/+/events", None, false),
            (EventKind::Topic, "registries/default/devices/+/#", None, false),
            (EventKind::Topic, "$SYS/#", None, false),
            (EventKind::Topic, "/devices", None, true),
            (EventKind::Timer, "*", None, true),
        ] {
            let found = trigger(&Trigger { event, device: device.into(), subfolder: subfolder.map(Into::into) });
            assert_eq!(found.is_none(), fires, "{event:?} {device} {subfolder:?}: {found:?}");
        }
    }

    #[test]
    fn a_grant_that_allows_nothing_is_found() {
        for (capability, pattern, allows) in [
            (Capability::Config, "lamp-*", true),
            (Capability::Config, "hall/*", true),
            (Capability::Config, "**", true),
            (Capability::Config, "projects/p/locations/l/registries/*/devices/*", true),
            (Capability::Config, "projects/other/**/lamp-*", true),
            (Capability::Config, "/devices/lamp-1", false),
            (Capability::Config, "a/b/c", false),
            (Capability::Config, "lamp 1", false),
            (Capability::Publish, "alerts/#", true),
            (Capability::Publish, "/devices/lamp-1/config", false),
            (Capability::Publish, "registries/#", false),
        ] {
            let found = grant(capability, pattern);
            assert_eq!(found.is_none(), allows, "{capability:?} {pattern}: {found:?}");
        }
    }

    #[test]
    fn what_is_in_force_is_the_narrower_of_what_is_asked_and_granted() {
        for (requests, granted, expect) in [
            (&["*"][..], None, &["*"][..]),
            (&["*"], Some(&["lamp-*"][..]), &["lamp-*"]),
            (&["lamp-1"], Some(&["*"]), &["lamp-1"]),
            (&["lamp-*"], Some(&["lamp-1", "door-1"]), &["lamp-1"]),
            (&["*-1"], Some(&["lamp-*"]), &["lamp-* (of these *-1)"]),
            (&["*", "*/*"], Some(&["lamp-*"]), &["lamp-*"]),
            (&["lamp-*"], Some(&[]), &[]),
            (&["lamp-*"], Some(&["door-*"]), &[]),
            (&["*"], Some(&["hall/*"]), &["hall/* (of these *)"]),
            (&["**"], Some(&["hall/*"]), &["hall/*"]),
        ] {
            let requests: Vec<_> = requests.iter().map(|pattern| asks(Capability::Config, pattern)).collect();
            let granted = granted.map(|patterns| {
                GrantPatterns::from([(Capability::Config, patterns.iter().map(|p| (*p).to_owned()).collect())])
            });
            let found: Vec<_> = in_force(&requests, granted.as_ref()).into_iter().map(|grant| grant.pattern).collect();
            assert_eq!(found, expect, "{requests:?} ∩ {granted:?}");
        }
        let topics = ["alerts/hall", "alerts/+", "other", "+/hall", "+/other/x", "+/b"].map(str::to_owned).to_vec();
        let topics = GrantPatterns::from([(Capability::Publish, topics)]);
        let of = |requests: &str| -> Vec<_> {
            let found = in_force(&[asks(Capability::Publish, requests)], Some(&topics));
            found.into_iter().map(|grant| grant.pattern).collect()
        };
        assert_eq!(of("alerts/hall"), ["alerts/hall"]);
        assert_eq!(
            of("alerts/+"),
            ["alerts/hall", "alerts/+", "+/hall (of these alerts/+)", "+/b (of these alerts/+)"]
        );
        assert_eq!(of("+/+/x"), ["+/other/x"]);
    }

    #[test]
    fn a_grant_that_the_component_does_not_ask_for_is_warned_of() {
        let requests = [asks(Capability::Config, "lamp-*")];
        let granted = GrantPatterns::from([
            (Capability::Config, vec!["lamp-1".to_owned(), "door-*".to_owned()]),
            (Capability::Method, vec!["*".to_owned()]),
        ]);
        let found = warnings(&requests, Some(&granted), &[]);
        assert_eq!(
            found,
            [
                "has no trigger, so it gets no events",
                "the grant config = [\"door-*\"] has no effect: the component asks for others",
                "the grant method = [\"*\"] has no effect: the component does not ask for it",
            ]
        );
    }
}
