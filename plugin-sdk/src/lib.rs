//! Switchbox plugins in Rust. This is a whole one: a switch that wakes a lamp.
//!
//! ```
//! use switchbox_plugin::prelude::*;
//!
//! /// `[settings]` in the plugin's file, with what holds where nothing is set.
//! #[derive(Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     target: String,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { target: "lamp-1".into() }
//!     }
//! }
//!
//! #[derive(Deserialize)]
//! struct Press {
//!     state: String,
//! }
//!
//! struct Wake {
//!     settings: Settings,
//! }
//!
//! impl Plugin for Wake {
//!     type Settings = Settings;
//!
//!     fn describe(settings: &Settings) -> Description {
//!         Description::new("Wakes a lamp.").on_telemetry("switch-*").may_config(&settings.target)
//!     }
//!
//!     fn start(settings: Settings) -> Result<Self, String> {
//!         Ok(Self { settings })
//!     }
//!
//!     fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
//!         let press: Press = event.json()?;
//!         host.set_config_json(&self.settings.target, &json!({"state": press.state}))?;
//!         Ok(())
//!     }
//! }
//!
//! switchbox_plugin::export!(Wake);
//!
//! // And its test, on this machine, without a host:
//! use switchbox_plugin::testing::Harness;
//!
//! let mut t = Harness::<Wake>::new(json!({"target": "lamp-7"})).unwrap();
//! t.device("lamp-7");
//! t.telemetry("switch-1", r#"{"state": "awake"}"#).unwrap();
//! assert_eq!(t.configs("lamp-7"), [json!({"state": "awake"})]);
//! assert!(t.telemetry("switch-1", "no JSON").is_err());
//! ```
//!
//! `switchbox plugin new NAME` writes such a project. Build it with `cargo build --release --target wasm32-wasip2`, drop
//! the `.wasm` into the host's plugin folder, and it runs.
//!
//! * [`Plugin`] is the trait, with a handler for each kind of event; [`export!`] makes a component of it.
//! * [`SettingsSchema`], if you like, says what its settings may be; the host checks that and makes a form of it.
//! * [`Migration`], if you like, brings the plugin's state from one form to another when a new version comes into force.
//! * [`Description`] says which events the plugin sees and what it asks to be allowed.
//! * [`Host`] is what a handler can do. Its refusals are [`Error`]s; `?` makes a [`Disposition`] of them.
//! * [`testing`] has the fake host. The crate never talks to a real one outside of a component.

mod backend;
#[doc(hidden)]
pub mod bindings;
mod description;
mod error;
mod event;
mod host;
#[cfg(target_family = "wasm")]
mod imports;
mod json;
mod migration;
#[doc(hidden)]
pub mod migration_bindings;
mod plugin;
mod schema;
#[doc(hidden)]
pub mod schema_bindings;
mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod timer;
mod twin;
mod values;

#[doc(hidden)]
pub mod component;

pub use {serde, serde_json};

pub use bindings::exports::switchbox::plugin::handler::EventKind;
pub use description::Description;
pub use error::{Disposition, Error, Outcome, Result, reject, retry};
pub use event::{
    CommandSettled, CommandStatus, Event, EventData, Property, StateUpdate, Telemetry, TimerFired, TopicMessage,
};
pub use host::{Devices, Host};
pub use migration::{Migration, Schemas};
pub use plugin::{NoSettings, Plugin};
pub use schema::{Field, SettingsSchema};
pub use state::State;
pub use twin::{Difference, Twin};
pub use values::{CommandOptions, ConfigVersion, Cron, Device, Entry, Level, PublishOptions, Response, Schedule};

/// What nearly every plugin needs; `use switchbox_plugin::prelude::*;`. The derives of serde need `serde` among the
/// plugin's own dependencies.
pub mod prelude {
    pub use crate::{Description, Disposition, Event, EventData, Host, Outcome, Plugin, Telemetry, reject, retry};
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::json;
}
