//! The API through a real socket, over a real store.

mod calls;
mod commands;
mod following;
mod gateways;
pub(crate) mod house;
mod sending;
