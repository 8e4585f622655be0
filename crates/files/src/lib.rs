//! Files that devices upload: their paths in the data folder, uploads under way, and the quota of one device and of all. Calls that read
//! or write wait for the disk: run them on a thread that may wait. Never decides who may upload, and knows no protocol.

mod error;
mod files;
mod folders;
mod name;
mod room;
#[cfg(test)]
mod tests;
mod upload;

pub use error::Error;
pub use files::{Handle, Options, Writing};
pub use folders::{Stored, StoredFile};
pub use name::{BadName, FileName};
pub use room::Quota;
pub use upload::{UPLOAD_TIME, Upload};
