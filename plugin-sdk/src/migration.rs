//! How a plugin brings its state from one schema to another.

use crate::{Plugin, Result, State, migration_bindings::exports::switchbox::plugin::migration as wit};

/// A plugin that migrates its [state](crate::Host::state). The host calls it when a version with another schema replaces the one in
/// force, while the plugin handles no event; what it wrote and the switch are one change. A plugin without this trait has schema 0.
/// `switchbox_plugin::export!(MyPlugin, migration);` exports it.
///
/// ```
/// use switchbox_plugin::{Migration, Result, Schemas, State, prelude::*};
/// # struct Counter;
/// # impl Plugin for Counter {
/// #     type Settings = switchbox_plugin::NoSettings;
/// #     fn describe(_: &Self::Settings) -> Description { Description::new("Counts.") }
/// #     fn start(_: Self::Settings) -> std::result::Result<Self, String> { Ok(Self) }
/// # }
/// impl Migration for Counter {
///     fn schemas() -> Schemas {
///         Schemas::new(1).down_to(0)
///     }
///
///     fn up(_from: u32, state: &State<'_>) -> Result<()> {
///         for key in state.keys("", None, 1000)? {
///             let count: u64 = state.get_json(&key)?.unwrap_or(0);
///             state.set_json(&key, &json!({"count": count}))?;
///         }
///         Ok(())
///     }
///
///     fn down(_to: u32, state: &State<'_>) -> Result<()> {
///         for key in state.keys("", None, 1000)? {
///             let counted = state.get_json::<serde_json::Value>(&key)?.unwrap_or_default();
///             state.set_json(&key, &counted["count"])?;
///         }
///         Ok(())
///     }
/// }
/// # use switchbox_plugin::serde_json;
/// use switchbox_plugin::testing::Harness;
///
/// let mut t = Harness::<Counter>::new(json!({})).unwrap();
/// t.set_state("lamp-1", "7");
/// t.migrate_up(0).unwrap();
/// assert_eq!(t.state("lamp-1").unwrap(), br#"{"count":7}"#);
/// t.migrate_down(0).unwrap();
/// assert_eq!(t.state("lamp-1").unwrap(), b"7");
/// ```
pub trait Migration: Plugin {
    /// Must not depend on anything.
    fn schemas() -> Schemas;

    /// Brings the state from `from`, an older schema, to the current one. An error, a panic or an exceeded limit leaves it as it is, and
    /// the version before stays in force. It is not called for a plugin without state.
    fn up(from: u32, state: &State<'_>) -> Result<()>;

    /// Brings the state from the current schema to `to`, which [`Schemas::down_to`] allows.
    fn down(_to: u32, _state: &State<'_>) -> Result<()> {
        Err(crate::Error::Invalid("the plugin has no migration down".into()))
    }
}

/// The schemas of a plugin's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schemas {
    current: u32,
    oldest_down: u32,
    why: String,
}

impl Schemas {
    /// The schema in which the plugin keeps its state; a version that changes the form of its state has a higher one. The migration
    /// cannot be undone unless [`down_to`](Self::down_to) says so.
    #[must_use]
    pub fn new(current: u32) -> Self {
        Self { current, oldest_down: current, why: String::new() }
    }

    /// The oldest schema to which [`Migration::down`] brings the state.
    #[must_use]
    pub fn down_to(mut self, oldest: u32) -> Self {
        self.oldest_down = oldest;
        self
    }

    /// Why it goes no further; an operator reads it when a roll-back is refused.
    #[must_use]
    pub fn because(mut self, why: &str) -> Self {
        self.why = why.into();
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub fn into_wit(self) -> wit::Schemas {
        let Self { current, oldest_down, why } = self;
        wit::Schemas { current, oldest_down, why }
    }
}
