//! The plugins that are in the binary: `component = "builtin:NAME"` in a plugin's settings file. Built from `plugins/`
//! by build.rs. Never runs them.

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The component of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static [u8]> {
    BUILTINS.iter().find(|(known, _)| *known == name).map(|(_, component)| *component)
}

/// The names there are, in order, each with one sentence for people.
pub fn summaries() -> impl Iterator<Item = (&'static str, &'static str)> {
    SUMMARIES.iter().copied()
}

/// The names there are, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILTINS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_built_ins_are_components() {
        let expected =
            ["garage-door", "hop-relay", "motion-alert", "night-restart", "switch-wakes-device", "thermostat"];
        assert_eq!(names().collect::<Vec<_>>(), expected);
        assert!(summaries().map(|(name, _)| name).eq(names()) && summaries().all(|(_, summary)| summary.len() > 20));
        for name in names() {
            // The preamble of a component (layer 1), where a core module has layer 0.
            assert_eq!(find(name).unwrap()[..8], *b"\0asm\x0d\0\x01\0", "{name}");
        }
        assert_eq!(find("hop_relay"), None);
    }

    #[test]
    fn all_built_ins_use_simd_instructions() {
        for name in names() {
            // `v128.const`: without SIMD no component has these bytes.
            assert!(find(name).unwrap().windows(2).any(|code| code == b"\xfd\x0c"), "{name}");
        }
    }
}
