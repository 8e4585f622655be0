//! Runs components as plugins: compiles them, instantiates them in a sandbox, and returns the effects of each event. Applies
//! no effect, queues and retries nothing, and does no IO except for its compile cache.
//!
//! `Component::load` checks and compiles, `Component::start` makes an `Instance`, `Instance::handle` gives an `Execution`.

mod bindings;
mod cache;
mod call_state;
pub mod compile;
mod component;
mod convert;
mod engine;
mod failure;
mod frames;
mod imports;
mod instance;
mod meter;
mod output;
mod refused;
mod sandbox;
mod wasi;

pub use component::Component;
pub use engine::{Options, WasmEngine};
pub use instance::Instance;
pub use switchbox_plugin_model::*;
use switchbox_rules::grants;
