//! One attack: its row in the table, and how it runs beside what is measured.

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

use super::{MOST_CONNECTIONS, target::Target, wire, wire::Conn};
use crate::until;

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    /// What the attacker does, in a line.
    pub does: &'static str,
    /// What the row asserts beside the bounds that are asserted of every row.
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

/// An attack under way, in rounds until it is called off.
#[derive(Debug)]
pub struct Attack {
    pub target: Arc<Target>,
    on: AtomicBool,
    rounds: AtomicU64,
}

/// The tempo of a slow attacker.
pub(super) const SLOW_INTERVAL: Duration = Duration::from_millis(20);

impl Attack {
    /// Lets the other device be watched from now on: for rows whose rounds take long.
    pub(super) fn begin(&self) {
        self.rounds.fetch_add(2, Ordering::SeqCst);
    }

    /// Begins a round; false when it is called off.
    pub(super) fn continues(&self) -> bool {
        self.rounds.fetch_add(1, Ordering::SeqCst);
        self.on.load(Ordering::SeqCst)
    }

    /// Does so now and then until it is called off.
    pub(super) fn repeat_slowly(&self, mut drip: impl FnMut(usize)) {
        let mut at = 0;
        while self.continues() {
            drip(at);
            at += 1;
            // Sleeps at the pace of an attacker.
            std::thread::sleep(SLOW_INTERVAL);
        }
    }

    /// Opens so many connections and lets each say this.
    pub(super) fn open(&self, host: SocketAddr, count: usize, words: &[u8]) -> Vec<Conn> {
        assert!(count <= MOST_CONNECTIONS);
        let opened = (0..count).filter_map(|_| {
            let mut conn = Conn::open(host)?;
            conn.send(words);
            Some(conn)
        });
        opened.collect()
    }

    /// With `HOSTILE_IDLE` in the environment the attacker gets the processor when nobody else wants it, as if it were on a
    /// machine of its own: what is left is what the host does for it. It asks the scheduler after each packet, which else lets
    /// even an idle thread go on until its next tick.
    fn lower_priority() {
        if std::env::var_os("HOSTILE_IDLE").is_some() {
            let stat = fs::read_to_string("/proc/thread-self/stat").expect("no /proc");
            let thread = stat.split(' ').next().unwrap_or_default();
            let asked = Command::new("chrt").args(["--idle", "--pid", "0", thread]).status();
            assert!(asked.is_ok_and(|status| status.success()), "chrt (of util-linux) cannot lower the priority");
            wire::enable_yielding();
        }
    }

    /// Runs the row until `during` has ended, which begins when the attack has done its first round.
    ///
    /// # Panics
    ///
    /// When the attack succeeded.
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
