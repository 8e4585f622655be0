//! The program: hands the arguments to the command line.

use std::process::ExitCode;

/// Events are allocated on one thread and freed on another, for which the system's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    switchbox::commands::main()
}
