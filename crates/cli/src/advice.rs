//! The command that helps when the host refuses a call. The host's text says what is wrong.

/// The beginning of the host's text, and the command that lists what exists.
const MISSING: [(&str, &str); 7] = [
    ("registry ", "`switchbox registry list` shows those that there are, `switchbox registry create` makes one"),
    ("plugin ", "`switchbox plugin list` shows those that there are"),
    ("service account ", "`switchbox service list` shows those that there are"),
    ("a token ", "`switchbox token list` shows those that there are"),
    ("dead letter ", "`switchbox dead-letters list` shows those that there are"),
    ("command ", "`switchbox device command list DEVICE` shows those that are kept"),
    ("event ", "`switchbox events` shows those that are kept"),
];
const DEVICES: &str = "`switchbox device list` shows those that there are; --registry names another registry";

/// `kind`: the name of the API's error, such as `NOT_FOUND`. Returns `None` if the text needs no addition.
pub(super) fn for_answer(kind: &str, text: &str) -> Option<&'static str> {
    match kind {
        "NOT_FOUND" if text.starts_with("device ") || text.starts_with("projects/") => Some(DEVICES),
        "NOT_FOUND" => MISSING.iter().find(|(what, _)| text.starts_with(what)).map(|(_, advice)| *advice),
        "ALREADY_EXISTS" if text.ends_with("has that credential already") => None,
        "ALREADY_EXISTS" if text.starts_with("a token ") => {
            Some("choose another name; `switchbox token list` shows those that there are")
        }
        "ALREADY_EXISTS" => Some("choose another name, or look at the one that is there with `get` or `list`"),
        "PERMISSION_DENIED" => Some("use the host's own token (--data), or make one with a wider --scope"),
        "ABORTED" => Some("look at it again, and try again with the version that is in force now"),
        "UNIMPLEMENTED" => Some("see whether `switchbox --version` is that of the host"),
        "INTERNAL" => Some("the host's log says more"),
        "UNAVAILABLE" => Some("try again, and see the host's log if it stays so"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_host_leads_to_a_command() {
        for (kind, text, part) in [
            ("NOT_FOUND", "registry projects/p/locations/l/registries/r does not exist", "registry create"),
            ("NOT_FOUND", "device projects/p/locations/l/registries/r/devices/d does not exist", "device list"),
            ("NOT_FOUND", "a token \"x\" does not exist", "token list"),
            ("NOT_FOUND", "plugin wake does not exist", "plugin list"),
            ("ALREADY_EXISTS", "x exists already", "another name"),
            ("ALREADY_EXISTS", "a token \"x\" exists already", "token list"),
            ("ABORTED", "version 3 is in force", "try again"),
            ("PERMISSION_DENIED", "the token's scope is read", "--scope"),
        ] {
            let advice = for_answer(kind, text).unwrap();
            assert!(advice.contains(part), "{text}: {advice}");
        }
        assert_eq!(for_answer("INVALID_ARGUMENT", "pageSize must be a number"), None);
    }
}
