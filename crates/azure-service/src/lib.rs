//! Azure IoT Hub over HTTPS, for clients of its SDKs. For programs: the registry of devices, twins, direct methods, queries and
//! statistics. For devices: messages, provisioning, uploads, and AMQP over WebSocket. The host name of a call selects the registry. This crate only translates
//! calls; the parts of the host apply them.

mod app;
mod authentication;
mod body;
mod bounds;
mod device;

mod documents;
mod enrollment;
mod error;
mod etag;
mod gate;
mod handlers;
mod identity;
mod members;
#[cfg(test)]
mod provisioning_tests;
mod routes;
mod service;
mod storage;
mod tags;
#[cfg(test)]
mod tests;
mod twin;
mod twin_in;

pub use service::{Error, Options, Ports, Service};
