//! What guests are built for, and how.

/// The target that guests are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// The profile of the root `Cargo.toml` that guests are built with.
pub const PROFILE: &str = "guest";
