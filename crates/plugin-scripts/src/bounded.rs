//! For the host itself: runs the tool chain of rules in JavaScript in place of this process, after bounding memory, processor time and
//! files.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use switchbox_model::limits::{COMPILE_MEMORY_BYTES, COMPILE_TIME};
use switchbox_plugin_model::MAX_COMPONENT_BYTES;
use switchbox_support::terminal;

/// The name of the program's command that calls [`run_toolchain`].
pub const COMMAND: &str = "compile-script";

/// Added to the process's `nice`.
const NICE: i32 = 5;

/// Ends only where the tool chain does not start.
#[must_use]
pub fn run_toolchain(program: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = program.split_first() else { return ExitCode::FAILURE };
    let error = match bound() {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    };
    // Standard error is closed: no reader is left.
    let _ = terminal::print_error(&format!("{}: {error}", program.display()));
    ExitCode::FAILURE
}

/// Of memory its data alone: an engine of JavaScript reserves far more address space than it uses.
fn bound() -> io::Result<()> {
    for (resource, most) in [
        (Resource::Data, COMPILE_MEMORY_BYTES),
        (Resource::Cpu, COMPILE_TIME.as_secs()),
        (Resource::Fsize, MAX_COMPONENT_BYTES as u64),
        (Resource::Core, 0),
    ] {
        // The host's own limit may be lower.
        let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    nice(NICE)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}
