//! The HTTP API for operators and their programs: the resources of Google Cloud IoT Core, and those of Switchbox. It converts calls and
//! answers; the other parts of the host carry them out.

mod answers;
mod app;
mod audit;
mod authors;
mod blocking;
mod bounds;
mod convert;
mod details;
mod edit;
mod error;
mod etag;
mod folder;
mod followers;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gate;
mod handlers;
mod head;
mod openapi;
mod plugins;
mod ports;
mod rate;
mod reply;
mod routes;
mod sampling;
mod series;
mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod topic_tap;
mod verb_paths;
mod web;

pub use app::HostHandles;
pub use authors::Authors;
pub use plugins::{ApprovalError, DeleteError, DryRunError, PluginFuture, Plugins, RecordingPieces, RedriveError};
pub use ports::{Error, Options, Ports};
pub use service::Service;
