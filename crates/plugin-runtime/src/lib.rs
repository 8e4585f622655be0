//! Runs components as plugins: compiles them, instantiates them in a sandbox, and returns the effects of each event. Applies
//! no effect, queues and retries nothing, and does no IO except for its compile cache.
//!
//! `Component::load` checks and compiles, `Component::start` makes an `Instance`, `Instance::handle` gives an `Execution`.

mod binary;
mod bindings;
mod cache;
mod call_state;
pub mod compile;
mod component;
mod contents;
mod convert;
mod description;
mod engine;
mod error;
mod execution;
mod failure;
mod frames;
pub mod guard;
pub mod host;
mod imports;
pub mod ineffective;
mod instance;
pub mod limits;
mod meter;
mod output;
mod rate;
mod refused;
mod sandbox;
pub mod schema;
pub mod settings;
mod surface;
mod text;
pub mod trigger;
mod wasi;

pub use binary::{Kind, MAX_COMPONENT_BYTES, Problem, inspect};
pub use component::{Component, digest};
pub use contents::{check_contents, imports};
pub use description::Description;
pub use engine::{Options, WasmEngine};
pub use error::{CallError, Error, LoadError};
pub use execution::{Call, Called, Execution, KvChange, Setup, Verdict};
pub use host::{ConfigView, DeviceView, Host, MethodCall, MethodError, MethodResponse};
pub use instance::Instance;
pub use limits::{Limits, Rate};
pub use settings::PluginSettings;
pub use surface::is_refused;
use switchbox_rules::grants;
pub use switchbox_rules::grants::{Capability, EffectiveGrants, Grant, GrantPatterns};
pub use trigger::{Trigger, Triggers};
