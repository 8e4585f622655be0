//! The MQTT server: MQTT 3.1.1 and 5 over TCP, TLS and WebSocket. Turns bytes into operations and back, and protects the host from its
//! clients: whatever a client sends, at most its own connection ends. Does not decide what an event causes.

mod bridge;
mod clients;
mod connection;
mod connection_tasks;
mod content;
mod cpu_budget;
mod device_delivery;
pub mod dialect;
mod encode_publish;
mod end;
mod gateway;
mod handshake;
mod host_parts;
mod listen;
mod load;
mod mailbox;
mod offline_sessions;
mod options;
mod presence;
mod restore;
mod resume;
mod server_context;
mod service;
mod session_key;
mod shared_redelivery;
mod socket;
mod subscriptions;
mod sys_topics;
#[cfg(test)]
mod tests;
mod wake_signal;
mod web;
mod will;

pub use self::{
    host_parts::HostParts,
    listen::{ListenError, ListenerOptions, Ports, bind_ports},
    options::Options,
    service::{Handle, Service},
    web::Origins,
};
