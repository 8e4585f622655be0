//! What clients of Azure IoT Hub write and read: shared access signatures, policies, connection strings, the user name of a
//! CONNECT, and which registry a hub's host name stands for. Pure text: no IO, no clock, no registry.

pub mod connection_string;
pub mod headers;
pub mod hubs;
pub mod policy;
pub mod properties;
pub mod provisioning;
pub mod sas;
pub mod url_encoding;
pub mod user_name;

pub use connection_string::ConnectionString;
pub use hubs::Hubs;
pub use policy::{Policy, Right};
pub use sas::{Sas, SasError};
pub use user_name::UserName;
