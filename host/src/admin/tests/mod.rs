//! The API through a real socket, over a real store.

mod calls;
pub(crate) mod house;
mod sending;
