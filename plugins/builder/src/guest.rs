//! What guests are built for, and how.

/// The target that guests are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// The profile of the root `Cargo.toml` that guests are built with.
pub const PROFILE: &str = "guest";

/// Flags of the compiler, beside the profile. The sandbox runs the SIMD instructions of WebAssembly 2.0, 128 bits wide, on every processor;
/// the compiler uses them only if it is told to.
pub(crate) const RUSTFLAGS: &str = "-Ctarget-feature=+simd128";
