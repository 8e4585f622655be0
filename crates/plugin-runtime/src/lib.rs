//! Runs components as plugins: bytes in, a sandboxed instance, and for each event what the guest wants to happen. Never
//! makes an effect happen itself, never queues or retries, and does no IO but its compile cache.
//!
//! `Engine::load` checks and compiles, `Component::start` makes an `Instance`, `Instance::handle` gives an `Execution`.

mod binary;
mod bindings;
mod cache;
pub mod compile;
mod component;
mod contents;
mod convert;
mod current;
mod engine;
mod error;
mod failure;
pub mod futile;
pub mod host;
mod imports;
mod instance;
pub mod limits;
mod meter;
mod output;
mod rate;
mod sandbox;
pub mod settings;
mod text;
pub mod trigger;
mod wasi;

pub use binary::{Kind, MAX_COMPONENT_BYTES, Problem, inspect};
pub use component::{Component, Description, digest};
pub use contents::look_through;
pub use engine::{Engine, Options};
pub use error::{CallError, Error, LoadError};
pub use host::{ConfigView, DeviceView, Host, MethodCall, MethodError, MethodResponse};
pub use instance::{Call, Called, Execution, Instance, KvChange, Setup, Verdict};
pub use limits::{Limits, Rate};
pub use settings::PluginSettings;
use switchbox_rules::grants;
pub use switchbox_rules::grants::{Capability, Grant, Granted, Grants};
pub use trigger::{Trigger, Triggers};
