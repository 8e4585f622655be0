//! HTTP listeners: connections, TLS and HTTP for the routes of another crate. They bound what a client can use before it has
//! authenticated, and by being slow after that. This crate defines no calls.

mod bounds;
mod deadlines;
mod server;
pub mod traces;
mod unread_body;

pub use bounds::{Bounds, Names};
pub use deadlines::with_body_deadline;
pub use server::{ConnectionInfo, Listener, Server, Tls};
