//! MQTT state without sockets: the session of one client, and the subscriptions and retained messages of all clients.

pub mod session;
pub mod topics;
