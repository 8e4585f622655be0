//! The program: hands the arguments to the command line.

use std::process::ExitCode;

/// Events are made on one thread and let go on another all the time: what the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    switchbox::commands::main()
}
