//! The schemas of a component's state, and what brings the state from one to another. Pure.

use super::{execution::KvChange, text};

/// The schemas of a component's state. The default is that of a component without the interface `migration`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schemas {
    /// The one in which it keeps its state.
    pub current: u32,
    /// The oldest one to which it brings the state back.
    pub oldest_down: u32,
    /// Why it brings it no further; may be empty.
    pub why: String,
}

/// What a migration wants to be written, and its log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The last write of each key.
    pub writes: Vec<KvChange>,
    pub logs: Vec<String>,
}

/// A change of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From this older schema to the component's own.
    Up { from: u32 },
    /// From the component's own schema to this older one.
    Down { to: u32 },
}

impl Schemas {
    /// # Errors
    ///
    /// The oldest schema is newer than the current one.
    pub fn new(current: u32, oldest_down: u32, why: String) -> Result<Self, String> {
        if oldest_down > current {
            return Err(format!("oldest-down is {oldest_down}, and the current schema is {current}"));
        }
        Ok(Self { current, oldest_down, why: text::cut(why) })
    }

    /// Whether the component can bring the state down to this schema. The error is the reason.
    ///
    /// # Errors
    ///
    /// The component's migration cannot be undone so far.
    pub fn may_go_down_to(&self, to: u32) -> Result<(), String> {
        if to >= self.oldest_down {
            return Ok(());
        }
        let Self { current, oldest_down, why } = self;
        let colon = if why.is_empty() { "" } else { ": " };
        if oldest_down == current {
            return Err(format!("the migration of the state to schema {current} cannot be undone{colon}{why}"));
        }
        Err(format!("the state can be brought from schema {current} down to {oldest_down}, not to {to}{colon}{why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_says_how_far_it_brings_the_state_down() {
        let schemas = |oldest_down, why: &str| Schemas { current: 3, oldest_down, why: why.into() };
        assert_eq!(schemas(1, "").may_go_down_to(1), Ok(()));
        for (schemas, expected) in [
            (schemas(3, ""), "the migration of the state to schema 3 cannot be undone"),
            (schemas(3, "units are lost"), "the migration of the state to schema 3 cannot be undone: units are lost"),
            (schemas(1, ""), "the state can be brought from schema 3 down to 1, not to 0"),
        ] {
            assert_eq!(schemas.may_go_down_to(0), Err(expected.to_owned()));
        }
        assert_eq!(Schemas::new(1, 2, String::new()), Err("oldest-down is 2, and the current schema is 1".to_owned()));
    }
}
