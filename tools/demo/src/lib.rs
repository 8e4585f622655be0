//! `switchbox demo` and `switchbox simulate`: simulated devices against a host, shown line by line. Talks to the host as any
//! client does, over MQTT and its API; never starts or stops it.

mod demo;
mod pace;
mod printer;
mod puppet;
mod scenes;
pub mod simulate;
mod story;
#[cfg(test)]
mod tests;
mod virtual_device;

pub use demo::{Options, Place, run};
pub use scenes::Scene;
