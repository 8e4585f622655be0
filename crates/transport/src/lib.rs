//! The network below MQTT and HTTP: TLS streams, and which connections are admitted.

pub mod admission;
pub mod tls;
pub mod websocket;
