//! Azure IoT Hub over AMQP 1.0. Programs read the journal as an Event Hub, send messages to devices, and receive feedback and
//! notifications of uploaded files; each reader has a position in the journal, and no events are buffered. Devices send events, receive
//! messages, answer methods and use their twins. This is the only crate that uses the AMQP library.

mod address;
mod all_fields;
mod authorization;
mod cbs;
mod checked_frames;
mod collected_writes;
mod connection;
mod context;
mod delivery_budget;
mod device;
mod devicebound;
mod encoding;
mod error;
mod event_selection;
mod feedback;
mod feedback_cursor;
mod frame_check;
#[cfg(fuzzing)]
pub mod fuzzing;
mod incoming;
mod journal_reads;
mod last_enqueued;
mod links;
mod management;
mod message;
mod outgoing_link;
mod partitions;
mod performative;
mod reader;
mod requests;
mod sasl;
mod selector;
mod server;
mod service;
mod session_windows;
mod start_position;
mod streaming;
#[cfg(test)]
mod tests;

pub use context::HostHandles;
pub use service::{Endpoint, Error, Options, Ports, Settings};
