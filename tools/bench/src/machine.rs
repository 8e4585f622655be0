//! Properties of the machine and costs of a process, from /proc, and the time of a sync of its disk. `None` if the system does not
//! report a value.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde::Serialize;

use super::histogram::Histogram;

/// `USER_HZ`, which Linux fixes for the values in /proc.
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes written before each fdatasync.
const BLOCK: usize = 4 * 1024;
const BLOCKS: usize = 256;

#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) memory_mib: Option<u64>,
    pub(super) processor: Option<String>,
    pub(super) kernel: Option<String>,
    /// File system of the data folder.
    pub(super) file_system: Option<String>,
}

impl Machine {
    pub(super) fn inspect(data: &Path) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field("/proc/meminfo", "MemTotal").and_then(|kib| kilobytes(&kib)).map(|bytes| bytes >> 20),
            processor: field("/proc/cpuinfo", "model name"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
            file_system: file_system(&fs::read_to_string("/proc/mounts").unwrap_or_default(), data),
        }
    }
}

/// The type of the file system of `path`: that of the mount with the longest matching folder.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(folder, _)| path.starts_with(folder))
        .max_by_key(|(folder, _)| folder.len())
        .map(|(_, kind)| kind.to_owned())
}

/// The value of `name: value` in a file.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// `"1234 kB"` in bytes.
fn kilobytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Resident memory of a process, bytes.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    kilobytes(&field(&format!("/proc/{pid}/status"), "VmRSS")?)
}

/// Processor time that a process has used.
pub(super) fn processor_time(pid: u32) -> Option<Duration> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        .map(|ticks| Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

/// User and system time from `/proc/PID/stat`; the program's name in it may contain blanks and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

/// How long writing 4 KiB and fdatasync take in `folder`, over at most `limit`. The blocks are allocated beforehand, like those of
/// a preallocated journal file.
pub(super) fn fsync(folder: &Path, limit: Duration) -> anyhow::Result<Histogram> {
    let path = folder.join("fsync");
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let block = [0x5a; BLOCK];
    for _ in 0..BLOCKS {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let mut took = Histogram::default();
    let begun = Instant::now();
    'time: loop {
        file.seek(SeekFrom::Start(0))?;
        for _ in 0..BLOCKS {
            if begun.elapsed() > limit {
                break 'time;
            }
            let since = Instant::now();
            file.write_all(&block)?;
            file.sync_data()?;
            took.record(since.elapsed());
        }
    }
    drop(file);
    fs::remove_file(path)?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 5 6 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (cut off"), None);
        assert_eq!(kilobytes("1024 kB"), Some(1 << 20));
        assert_eq!(kilobytes("unlimited"), None);
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\ntmpfs /tmp/deep/er xfs rw 0 0\n";
        for (path, kind) in [("/home", "ext4"), ("/tmp/x", "tmpfs"), ("/tmpx", "ext4"), ("/tmp/deep/er/x", "xfs")] {
            assert_eq!(file_system(mounts, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
    }

    #[test]
    fn fsync_is_timed_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("folder");
        let took = fsync(folder.path(), Duration::from_millis(50)).expect("written");
        assert!(took.percentile(0.5).expect("timed") > Duration::ZERO);
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
    }
}
