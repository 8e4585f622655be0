//! Azure IoT Hub over HTTPS, for what was written with its SDKs. For programs: the registry of devices, twins, direct methods, queries,
//! statistics. For devices: sending and fetching messages. A hub is a registry, by the host name that a call is for. Never decides what
//! a change means: the parts of the host do.

mod app;
mod body;
mod bounds;
mod device;
mod documents;
mod error;
mod etag;
mod guard;
mod handlers;
mod identity;
mod routes;
mod service;
mod tags;
mod twin;

pub use app::Parts;
pub use service::{Error, Options, Ports, Service};
