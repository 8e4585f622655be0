//! The network below MQTT and HTTP: TLS streams, and which connections are admitted.

pub mod lobby;
pub mod tls;
