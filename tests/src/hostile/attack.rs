//! One attack: its row in the table, and how it runs beside the measured device.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{target::Target, wire, wire::Conn};
use crate::until;

/// Connections of one row at a time.
pub const MAX_CONNECTIONS: usize = 1_100;

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    /// What the attacker does, in one line.
    pub does: &'static str,
    /// What the row asserts, in addition to what every row asserts.
    pub asserts: &'static str,
    pub(super) attack: fn(&Attack),
}

pub(super) const fn row(name: &'static str, does: &'static str, attack: fn(&Attack)) -> Row {
    Row { name, does, asserts: "", attack }
}

impl Row {
    pub(super) const fn asserts(mut self, asserts: &'static str) -> Self {
        self.asserts = asserts;
        self
    }
}

/// A running attack. It runs in rounds until it is stopped.
#[derive(Debug)]
pub struct Attack {
    pub target: Arc<Target>,
    on: AtomicBool,
    rounds: AtomicU64,
}

/// Pause of a slow attacker.
pub(super) const SLOW_INTERVAL: Duration = Duration::from_millis(20);

impl Attack {
    /// Starts the measurement of the healthy device now, for rows with long rounds.
    pub(super) fn begin(&self) {
        self.rounds.fetch_add(2, Ordering::SeqCst);
    }

    /// Begins a round. Returns false when the attack is stopped.
    pub(super) fn continues(&self) -> bool {
        self.rounds.fetch_add(1, Ordering::SeqCst);
        self.on.load(Ordering::SeqCst)
    }

    /// Repeats an action with pauses until the attack is stopped.
    pub(super) fn repeat_slowly(&self, mut send: impl FnMut(usize)) {
        let mut at = 0;
        while self.continues() {
            send(at);
            at += 1;
            // Sleeps to keep the pace of a slow attacker.
            std::thread::sleep(SLOW_INTERVAL);
        }
    }

    /// Opens this many connections and sends these bytes on each.
    pub(super) fn open(&self, host: SocketAddr, count: usize, words: &[u8]) -> Vec<Conn> {
        assert!(count <= MAX_CONNECTIONS);
        let opened = (0..count).filter_map(|_| {
            let mut conn = Conn::open(host)?;
            conn.send(words);
            Some(conn)
        });
        opened.collect()
    }

    /// With `HOSTILE_IDLE` in the environment, the attacker runs only while no other thread needs the processor, as if it were on
    /// another machine. The measured effect is then that of the host alone. The attacker yields after each packet, because
    /// otherwise even an idle-priority thread runs until the next tick.
    fn lower_priority() {
        if std::env::var_os("HOSTILE_IDLE").is_some() {
            let stat = fs::read_to_string("/proc/thread-self/stat").expect("no /proc");
            let thread = stat.split(' ').next().unwrap_or_default();
            let chrt = Command::new("chrt").args(["--idle", "--pid", "0", thread]).status();
            assert!(chrt.is_ok_and(|status| status.success()), "chrt (of util-linux) cannot lower the priority");
            wire::enable_yielding();
        }
    }

    /// Runs the row until `during` has ended. `during` begins after the first round of the attack.
    ///
    /// # Panics
    ///
    /// Panics if the attack succeeded.
    pub fn run<T>(target: &Arc<Target>, row: Row, during: impl FnOnce() -> T) -> T {
        let attack = Arc::new(Self { target: target.clone(), on: AtomicBool::new(true), rounds: AtomicU64::new(0) });
        let attacker = {
            let attack = attack.clone();
            std::thread::Builder::new()
                .name(row.name.into())
                .spawn(move || {
                    Self::lower_priority();
                    (row.attack)(&attack);
                })
                .expect("no thread")
        };
        until(row.name, || (attack.rounds.load(Ordering::SeqCst) > 1 || attacker.is_finished()).then_some(()));
        let result = during();
        attack.on.store(false, Ordering::SeqCst);
        assert!(attacker.join().is_ok(), "{}: the attack succeeded, or the host gave a wrong answer", row.name);
        result
    }
}
