//! Topics to operations and back. Pure: reads text, decides nothing about who is connected, sends nothing.

pub mod attach;
pub mod gateway_errors;
pub mod identity;
pub mod iot_core;
