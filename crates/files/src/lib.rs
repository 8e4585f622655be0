//! Files that devices upload: where they lie in the data folder, uploads under way, how much one device and all of them may keep.
//! Every call that reads or writes blocks for as long as the disk takes. Never decides who may upload, and knows no protocol.

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
