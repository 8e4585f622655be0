//! A thread's place with the system's scheduler.

use std::{io, time::Duration};

use super::yielding;

/// The scheduler slice that a thread requests (Linux 6.12 and later; older versions ignore it). A thread with a shorter slice may
/// preempt one with a longer slice as soon as it can run, and the running thread keeps the processor no longer than the shortest
/// slice in the run queue. Without this, a thread waits for the end of a time slice of some milliseconds, whatever the priorities
/// are.
const SHORT_SLICE: Duration = Duration::from_micros(100);
/// The slice of threads that others may interrupt.
const LONG_SLICE: Duration = Duration::from_millis(10);

/// Lets the calling thread, and those that it starts from now on, use short slices: for work that a caller waits for.
pub fn request_short_slices() {
    log_failure(schedule_by(0, SHORT_SLICE));
}

/// Lets the calling thread use long slices, which others interrupt: for work without a waiting caller.
pub fn request_long_slices() {
    lower_priority(0);
}

/// Lowers the priority of the calling thread and of those that it starts: long slices, and a `nice` value that is higher by this
/// much (0 to 19). This cannot be undone.
pub(super) fn lower_priority(by: i32) {
    yielding::enable_yielding();
    log_failure(schedule_by(by, LONG_SLICE));
}

fn log_failure(scheduled: io::Result<()>) {
    if let Err(error) = scheduled {
        tracing::debug!(%error, thread = std::thread::current().name(), "a thread runs with the default priority");
    }
}

fn schedule_by(more_nice: i32, turn: Duration) -> io::Result<()> {
    schedule((own_nice()? + more_nice).min(19), turn)
}

/// How much the calling thread is willing to stand back, -20 to 19.
fn own_nice() -> io::Result<i32> {
    // Linux knows it for each thread.
    Ok(rustix::process::getpriority_process(None)?)
}

#[cfg(target_os = "linux")]
fn schedule(nice: i32, turn: Duration) -> io::Result<()> {
    /// `struct sched_attr` of Linux, in its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    /// `SCHED_FLAG_KEEP_POLICY`: the operator may have chosen one.
    const KEEP_POLICY: u64 = 0x08;
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: 0,
        flags: KEEP_POLICY,
        nice,
        priority: 0,
        runtime_ns: turn.as_nanos() as u64,
        deadline_ns: 0,
        period_ns: 0,
    };
    #[allow(
        unsafe_code,
        reason = "the C library has no function for it; the kernel reads as many bytes as `size` says"
    )]
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn schedule(_nice: i32, _turn: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_thread_steps_back_alone_and_from_where_it_is() {
        let before = own_nice().unwrap();
        let stepped = std::thread::spawn(|| {
            [1, 2, 100].map(|by| {
                lower_priority(by);
                own_nice().unwrap()
            })
        });
        let expected = [1, 3, 103].map(|by| (before + by).min(19));
        assert_eq!((stepped.join().unwrap(), own_nice().unwrap()), (expected, before));
    }

    #[test]
    fn turns_change_no_priority() {
        let asked = std::thread::spawn(|| {
            let before = own_nice().unwrap();
            request_short_slices();
            let short = own_nice().unwrap();
            request_long_slices();
            (before, short, own_nice().unwrap())
        });
        let (before, short, long) = asked.join().unwrap();
        assert_eq!((short, long), (before, before));
    }
}
