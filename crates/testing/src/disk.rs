//! The disk under a test's journal: how long its commits take, and whether they succeed.

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use switchbox_model::{Entry, EventData};
use switchbox_store::{Doc, Machine, Reply};

/// Cheap to clone.
#[derive(Clone)]
pub struct Disk {
    gate: Arc<(Mutex<Gate>, Condvar)>,
    folder: PathBuf,
}

#[derive(Default)]
struct Gate {
    held: bool,
    /// Entries that pass although it is held.
    passes: usize,
}

impl Disk {
    pub(super) fn new(folder: &Path) -> Self {
        Self { gate: Arc::default(), folder: folder.to_owned() }
    }

    /// From now on no telemetry, state or message becomes durable, nor what is written behind it, until [`Self::release`].
    pub fn block(&self) {
        self.gate.0.lock().held = true;
    }

    /// Lets the first entry pass that is held, and what is written between it and the next.
    pub fn release_next(&self) {
        self.gate.0.lock().passes += 1;
        self.gate.1.notify_all();
    }

    pub fn release(&self) {
        *self.gate.0.lock() = Gate::default();
        self.gate.1.notify_all();
    }

    /// From now on the disk is full: every write to the journal fails.
    pub fn fill(&self) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut replaced = 0;
        for entry in fs::read_dir("/proc/self/fd").unwrap() {
            let entry = entry.unwrap();
            let target = fs::read_link(entry.path()).unwrap_or_default();
            if target.starts_with(&self.folder) && target.extension().is_some_and(|ending| ending == "log") {
                let number = entry.file_name().to_str().unwrap().parse().unwrap();
                #[allow(unsafe_code, reason = "the number is an open file of this test's journal, which stays open")]
                // SAFETY: dup2 touches no memory.
                let duplicated = unsafe { libc::dup2(full.as_raw_fd(), number) };
                assert_eq!(duplicated, number);
                replaced += 1;
            }
        }
        assert!(replaced > 0, "no file of the journal is open");
    }

    /// The machine, which an entry that is held reaches when it is released.
    pub(super) fn in_front_of<M: Machine>(&self, machine: M) -> impl Machine + use<M> {
        BlockingMachine { machine, disk: self.clone() }
    }

    fn wait(&self) {
        let (gate, opened) = &*self.gate;
        let mut gate = gate.lock();
        opened.wait_while(&mut gate, |gate| gate.held && gate.passes == 0);
        gate.passes = gate.passes.saturating_sub(1);
    }
}

struct BlockingMachine<M> {
    machine: M,
    disk: Disk,
}

impl<M: Machine> Machine for BlockingMachine<M> {
    /// The writer does not report an entry as durable before this has returned.
    fn apply(&mut self, entry: Entry, docs: &mut Vec<Doc>) -> Reply {
        if is_publish(&entry) {
            self.disk.wait();
        }
        self.machine.apply(entry, docs)
    }

    fn committed(&mut self) {
        self.machine.committed();
    }
}

/// It has something that a client published.
fn is_publish(entry: &Entry) -> bool {
    entry.events().iter().any(|event| {
        matches!(event.data, EventData::Telemetry { .. } | EventData::State { .. } | EventData::Topic { .. })
    })
}
