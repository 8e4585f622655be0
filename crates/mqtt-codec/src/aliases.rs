//! The topic aliases that we set for one client: the first topics of its connection get one, as many as it allows, and
//! keep it. Remembers names; never writes.

use std::{collections::HashMap, sync::Arc};

use switchbox_model::limits;

/// An alias costs three bytes: a topic that is no longer gets none.
const WORTH_BYTES: usize = 3;

/// How a topic is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    InFull,
    /// In full this once, and the alias with it.
    Named(u16),
    /// The alias alone.
    Alias(u16),
}

#[derive(Debug, Default)]
pub struct Aliases {
    most: u16,
    known: HashMap<Arc<str>, u16>,
}

impl Aliases {
    /// `allowed`: the client's topic alias maximum.
    pub fn new(allowed: u16) -> Self {
        Self { most: allowed.min(limits::TOPIC_ALIASES_OUT), known: HashMap::new() }
    }

    /// How to write this topic; a new alias counts as known from [`Self::set`] on.
    pub fn find(&self, topic: &str) -> Written {
        if self.most == 0 || topic.len() <= WORTH_BYTES {
            return Written::InFull;
        }
        match (self.known.get(topic), u16::try_from(self.known.len())) {
            (Some(alias), _) => Written::Alias(*alias),
            (None, Ok(known)) if known < self.most => Written::Named(known + 1),
            _ => Written::InFull,
        }
    }

    pub fn set(&mut self, topic: &Arc<str>, alias: u16) {
        self.known.insert(topic.clone(), alias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_get_aliases_and_keep_them() {
        let mut aliases = Aliases::new(2);
        for (topic, expect) in [
            ("topic/a", Written::Named(1)),
            ("topic/b", Written::Named(2)),
            ("topic/a", Written::Alias(1)),
            ("topic/c", Written::InFull),
            ("t/a", Written::InFull),
            ("topic/b", Written::Alias(2)),
        ] {
            let found = aliases.find(topic);
            assert_eq!(found, expect, "{topic}");
            if let Written::Named(alias) = found {
                aliases.set(&topic.into(), alias);
            }
        }
        assert_eq!(Aliases::new(0).find("topic/a"), Written::InFull);
    }
}
