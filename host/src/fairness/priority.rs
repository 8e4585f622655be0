//! A thread's place with the system's scheduler.

use std::{io, time::Duration};

/// How long a thread that stepped back would like to go on at a time. Linux (6.12 and later) lets one that asks for less, as
/// every thread does that asks for nothing, interrupt it as soon as it has something to do: without this it may have to wait
/// for the end of a time slice, which is milliseconds, whatever the priorities are.
const SLICE: Duration = Duration::from_millis(10);

/// Lets the calling thread, and those that it starts, run behind the process's other threads; `nice` says by how much, from 1 to
/// 19. There is no way back.
#[cfg(target_os = "linux")]
pub fn step_back(nice: i32) -> io::Result<()> {
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
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        // SCHED_OTHER, as any thread.
        policy: 0,
        flags: 0,
        nice,
        priority: 0,
        runtime_ns: SLICE.as_nanos() as u64,
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
pub fn step_back(_nice: i32) -> io::Result<()> {
    let _ = SLICE;
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// Of the calling thread.
    fn nice() -> i64 {
        let text = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = text.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_steps_back_alone() {
        let before = nice();
        let stepped = std::thread::spawn(|| {
            step_back(19).unwrap();
            nice()
        });
        assert_eq!((stepped.join().unwrap(), nice()), (19, before));
    }
}
