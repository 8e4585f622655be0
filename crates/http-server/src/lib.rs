//! HTTP listeners: connections, TLS and HTTP for the routes of another crate, with bounds on what a client can take up before it has
//! shown a token, and by being slow after that. Knows no calls.

mod bounds;
mod deadlines;
mod server;

pub use bounds::{Bounds, Names};
pub use deadlines::with_body_deadline;
pub use server::{ConnectionInfo, Listener, Server, Tls};
