//! Azure IoT Hub over AMQP 1.0, for programs: they read the journal as an Event Hub, send messages to devices, and receive feedback and
//! notifications of uploaded files.
//! Each reader has a position in the journal; no events are buffered. This is the only crate that uses the AMQP library.

mod address;
mod all_fields;
mod authorization;
mod cbs;
mod checked_frames;
mod connection;
mod context;
mod devicebound;
mod encoding;
mod event_selection;
mod feedback;
mod feedback_cursor;
mod frame_check;
#[cfg(fuzzing)]
pub mod fuzzing;
mod links;
mod management;
mod message;
mod partitions;
mod reader;
mod requests;
mod sasl;
mod selector;
mod server;
mod service;
mod start_position;
mod streaming;

pub use context::Parts;
pub use service::{Endpoint, Error, Options, Ports};
