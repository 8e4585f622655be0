//! What the host knows of a plugin without running it: its settings and limits, the contents of its component file, what it may
//! ask of the host, and the result of an event. Pure, and without wasmtime, so that the parts that only name plugins build without it;
//! `switchbox-plugin-runtime` runs them.

pub mod binary;
pub mod canary;
pub mod contents;
pub mod description;
pub mod error;
pub mod execution;
pub mod guard;
pub mod host;
pub mod ineffective;
pub mod limits;
pub mod migration;
mod rate;
mod reach;
pub mod schema;
pub mod settings;
pub mod subject;
pub mod surface;
mod taken_away;

pub use binary::{BinaryError, Kind, MAX_COMPONENT_BYTES, digest, inspect};
pub use canary::{CanaryEnd, CanaryStatus};
pub use contents::{check_contents, imports};
pub use description::Description;
pub use error::{CallError, Error, LoadError};
pub use execution::{Call, Called, Execution, KvChange, Setup, Verdict};
pub use host::{ConfigView, DeviceView, HostCalls, MethodCall, MethodError, MethodResponse};
pub use limits::{Limits, Rate};
pub use migration::{Migrated, Schemas, Step};
pub use reach::reaches;
pub use settings::PluginSettings;
pub use subject::Subject;
use switchbox_rules::{grants, trigger};
pub use switchbox_rules::{
    grants::{Capability, EffectiveGrants, GrantPatterns, GrantRequest},
    text,
    trigger::{Trigger, Triggers},
};
pub use taken_away::taken_away;
