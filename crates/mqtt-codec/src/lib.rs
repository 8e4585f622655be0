//! The packets of MQTT 3.1.1 and 5: bytes to checked plain types, and back. No IO, and no meaning of any topic. The one crate that
//! uses the codec library, which reads and writes the rare packets.
//!
//! Source: MQTT 3.1.1 (OASIS, 2014) and MQTT 5.0 (OASIS, 2019).

pub mod aliases;
mod bridge;
pub mod connect;
pub mod decode;
pub mod encode;
pub mod fault;
pub mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod library;
pub mod packet;
mod payloads;
mod properties;
#[cfg(test)]
mod round_trip;
