//! The Switchbox host: wires the crates together, starts them in order and stops them. ARCHITECTURE.md has the crates.

pub mod app;
pub mod commands;
