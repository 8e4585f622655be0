//! MQTT state without sockets: one client's session, and the subscriptions and retained messages of all.

pub mod session;
pub mod topics;
