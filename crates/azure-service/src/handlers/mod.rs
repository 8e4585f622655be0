//! The handlers of the API.

mod blob_description;
pub(crate) mod blobs;
pub(crate) mod bulk;
pub(crate) mod device_messages;
pub(crate) mod devices;
pub(crate) mod enrollments;
pub(crate) mod files;
pub(crate) mod methods;
pub(crate) mod provisioning;
pub(crate) mod query;
pub(crate) mod statistics;
pub(crate) mod twins;
pub(crate) mod websockets;
