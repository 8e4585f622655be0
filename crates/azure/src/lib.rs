//! The formats of Azure IoT Hub's clients: shared access signatures, policies, connection strings, the user name of a CONNECT, and
//! the host names of hubs. It performs no IO, and uses neither a clock nor a registry.

pub mod connection_string;
pub mod headers;
pub mod hubs;
pub mod method_payload;
pub mod policy;
pub mod properties;
pub mod provisioning;
mod same_layout;
pub mod sas;
pub mod storage;
pub mod twin;
pub mod url_encoding;
pub mod user_name;

pub use connection_string::ConnectionString;
pub use hubs::{Hubs, NoHostName};
pub use policy::{AccessRight, Policy};
pub use sas::{Sas, SasError};
pub use user_name::UserName;
