//! A thread's priority with the system's scheduler.

use std::io;

use super::yielding;

/// Lowers the priority of the calling thread and of those that it starts from now on: a `nice` value that is higher by this much (0 to 19).
/// They yield between pieces of their work. This cannot be undone.
pub(super) fn lower_priority(by: i32) {
    yielding::enable_yielding();
    if let Err(error) = add_nice(by) {
        tracing::debug!(%error, thread = std::thread::current().name(), "a thread runs with the default priority");
    }
}

/// Linux has a `nice` value for each thread, -20 to 19.
#[cfg(target_os = "linux")]
fn add_nice(more: i32) -> io::Result<()> {
    use rustix::process::{getpriority_process, setpriority_process};
    Ok(setpriority_process(None, (getpriority_process(None)? + more).min(19))?)
}

#[cfg(not(target_os = "linux"))]
fn add_nice(_more: i32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn a_thread_steps_back_alone_and_from_where_it_is() {
        let nice = || getpriority_process(None).unwrap();
        let before = nice();
        let stepped = std::thread::spawn(move || {
            [0, 1, 2, 100].map(|by| {
                lower_priority(by);
                nice()
            })
        });
        let expected = [0, 1, 3, 103].map(|by| (before + by).min(19));
        assert_eq!((stepped.join().unwrap(), nice()), (expected, before));
    }
}
