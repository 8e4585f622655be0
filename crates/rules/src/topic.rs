//! What a topic and a topic filter may look like (MQTT 5, section 4.7), and whether one matches, covers or overlaps the other. Pure.

use crate::limits;

/// What is wrong with a topic or a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("a topic must not be empty")]
    Empty,
    #[error("a topic must not contain the character NUL")]
    Nul,
    #[error("a topic to publish to must not contain + or #")]
    Wildcard,
    #[error("+ and # must stand alone in their level, and # in the last one")]
    WildcardPlace,
    #[error("a topic may have at most {} levels", limits::TOPIC_LEVELS)]
    TooDeep,
    #[error("a shared subscription is $share/{{name}}/{{filter}}, with neither + nor # in its name")]
    Share,
}

/// Checks a topic that a message is published to.
pub fn check_name(topic: &str) -> Result<(), TopicError> {
    check_common(topic)?;
    if topic.bytes().any(|b| matches!(b, b'+' | b'#')) { Err(TopicError::Wildcard) } else { Ok(()) }
}

/// What a shared subscription's filter begins with.
const SHARE: &str = "$share/";

/// The filter that topics are matched with: that of a shared subscription follows its group name.
#[must_use]
pub fn matched_part(filter: &str) -> &str {
    let shared = filter.strip_prefix(SHARE).and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, filter)| filter)
}

/// Several clients take turns with such a subscription.
#[must_use]
pub fn is_shared(filter: &str) -> bool {
    filter.starts_with(SHARE)
}

/// Checks a filter of a subscription.
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_common(filter)?;
    if let Some(rest) = filter.strip_prefix(SHARE) {
        let (name, inner) = rest.split_once('/').ok_or(TopicError::Share)?;
        if name.is_empty() || inner.is_empty() || name.contains(['+', '#']) {
            return Err(TopicError::Share);
        }
    }
    let mut levels = matched_part(filter).split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        if wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
            return Err(TopicError::WildcardPlace);
        }
    }
    Ok(())
}

/// Checks the filter of a plugin's trigger or grant: no shared subscription.
///
/// # Errors
///
/// A text that names the filter and the rule that it breaks.
pub fn check_plugin_filter(filter: &str) -> Result<(), String> {
    if is_shared(filter) {
        return Err(format!("{filter:?} is a shared subscription; write the filter without $share/GROUP/"));
    }
    check_filter(filter).map_err(|problem| format!("{filter:?} is not a topic filter: {problem}"))
}

fn check_common(topic: &str) -> Result<(), TopicError> {
    let mut levels = 1;
    for byte in topic.bytes() {
        match byte {
            0 => return Err(TopicError::Nul),
            b'/' => levels += 1,
            _ => {}
        }
    }
    match levels {
        _ if topic.is_empty() => Err(TopicError::Empty),
        levels if levels > limits::TOPIC_LEVELS => Err(TopicError::TooDeep),
        _ => Ok(()),
    }
}

/// Whether a checked filter matches a checked topic. A wildcard in the first level matches no topic that begins with `$`.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    // A topic is the filter that matches it alone.
    covers(filter, topic)
}

/// Whether every topic that the checked filter `narrow` matches is matched by `wide`.
#[must_use]
pub fn covers(wide: &str, narrow: &str) -> bool {
    if hidden(narrow, wide) {
        return false;
    }
    let mut narrow = narrow.split('/');
    for level in wide.split('/') {
        match (level, narrow.next()) {
            ("#", _) => return true,
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether some topic is matched by both checked filters.
#[must_use]
pub fn overlap(one: &str, other: &str) -> bool {
    if hidden(one, other) || hidden(other, one) {
        return false;
    }
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            // `a/#` matches `a` as well.
            (Some(_), None) | (None, Some(_)) | (Some(_), Some(_)) => return false,
        }
    }
}

/// A topic or filter that begins with `$` is not for a wildcard in the first level of `by`.
fn hidden(own: &str, by: &str) -> bool {
    own.starts_with('$') && by.starts_with(['+', '#'])
}

/// Whether only the host publishes on such topics: they report what devices did, or are for devices alone. Also for a filter.
#[must_use]
pub fn is_hosts_own(topic: &str) -> bool {
    topic.starts_with("/devices/") || topic.starts_with("registries/") || topic.starts_with('$')
}

/// The part of a filter before its first wildcard: every topic that it matches begins so. `a/#` also matches `a`.
#[must_use]
pub fn literal_prefix(filter: &str) -> &str {
    let end = filter.find(['+', '#']).unwrap_or(filter.len());
    let prefix = filter.get(..end).unwrap_or_default();
    if filter.ends_with('#') { prefix.strip_suffix('/').unwrap_or(prefix) } else { prefix }
}

#[cfg(any(test, feature = "testing"))]
/// Examples: filter, topic, whether they match.
pub const MATCHES: &[(&str, &str, bool)] = &[
    ("a/b", "a/b", true),
    ("a/b", "a/b/c", false),
    ("a/b/c", "a/b", false),
    ("a/+", "a/b", true),
    ("a/+", "a", false),
    ("a/+", "a/", true),
    ("a/+", "a/b/c", false),
    ("a/+/c", "a/b/c", true),
    ("a/#", "a", true),
    ("a/#", "a/b/c", true),
    ("a/#", "ab", false),
    ("#", "a/b", true),
    ("#", "/", true),
    ("+/+", "/a", true),
    ("+", "/a", false),
    ("/+", "/a", true),
    ("#", "$SYS/x", false),
    ("+/x", "$SYS/x", false),
    ("$SYS/#", "$SYS/x", true),
    ("$SYS/+", "$SYS/x", true),
    ("a/+/#", "a/b", true),
    ("ä/#", "ä/ö", true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_specification_says() {
        for (filter, topic, expect) in MATCHES {
            assert_eq!(matches(filter, topic), *expect, "{filter} {topic}");
            assert!(!expect || topic.starts_with(literal_prefix(filter)), "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_covers_what_it_matches_and_no_more() {
        for (wide, narrow, expect) in [
            ("#", "a/b", true),
            ("#", "#", true),
            ("#", "+/x/#", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "a", true),
            ("a/#", "a/+/c", true),
            ("a/#", "b", false),
            ("a/#", "+/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/+", false),
            ("a/b", "a/+", false),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("", "a", false),
        ] {
            assert_eq!(covers(wide, narrow), expect, "{wide} {narrow}");
            assert!(!expect || overlap(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn filters_overlap_where_a_topic_is_matched_by_both() {
        for (one, other, expect) in [
            ("a/+", "+/b", true),
            ("a/+/c", "a/b/+", true),
            ("a/#", "a", true),
            ("a/#", "+", true),
            ("a/+", "a", false),
            ("a/+", "b/#", false),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/+/x", true),
        ] {
            assert_eq!((overlap(one, other), overlap(other, one)), (expect, expect), "{one} {other}");
        }
    }

    #[test]
    fn wrong_topics_and_filters_are_named() {
        for (topic, error) in [
            ("", TopicError::Empty),
            ("a\0b", TopicError::Nul),
            ("a/+", TopicError::Wildcard),
            ("a#", TopicError::Wildcard),
            (&"/".repeat(128), TopicError::TooDeep),
        ] {
            assert_eq!(check_name(topic), Err(error), "{topic:?}");
        }
        for filter in ["a+", "a/b#", "#/a", "a/#/b", "++", "a/+b/c", "##"] {
            assert_eq!(check_filter(filter), Err(TopicError::WildcardPlace), "{filter:?}");
        }
        for filter in ["$share/a", "$share//a", "$share/a/", "$share/+/a", "$share/a#/a"] {
            assert_eq!(check_filter(filter), Err(TopicError::Share), "{filter:?}");
        }
        for filter in ["#", "+", "/", "a", "+/+/#", "/#", "a//b", "$share/a//", "$share/a/#", "$share"] {
            assert_eq!(check_filter(filter), Ok(()), "{filter:?}");
        }
        assert_eq!(matched_part("$share/a/b/#"), "b/#");
        assert_eq!(matched_part("$shared/a/b"), "$shared/a/b");
    }
}
