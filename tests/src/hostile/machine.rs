//! Effects that remain after an attack: memory after compiling, files of compiled code, a connection whose token has expired.

use std::{
    fs,
    time::{Duration, Instant},
};

use switchbox_auth::signing::SigningKey;

use super::{Conn, Login, Row, Target, guests, now, row, wire::length};
use crate::{stamped, until, until_within};

/// How much the host's memory may grow while a component compiles, MiB.
const WHILE_COMPILING_MIB: u64 = 64;
/// How much it may stay above the start after that, MiB.
const AFTERWARDS_MIB: u64 = 16;
/// How soon a connection has to end.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(super) const ROWS: &[Row] = &[
    row(
        "large-component",
        "puts a component of 1.6 MB into the folder, whose code is long to compile, and takes it away",
        |attack| {
            let target = &attack.target;
            let path = target.plugins.join("large.wasm");
            attack.begin();
            loop {
                let before = target.resident_mib();
                target.reset_peak();
                guests::settings(attack, "large", "");
                fs::write(&path, large()).expect("no room");
                guests::runs(attack, "large");
                let peak = target.peak_mib();
                assert!(peak <= before + WHILE_COMPILING_MIB, "the host took {peak} MiB, and {before} before");
                guests::remove(attack, "large");
                let back = until_within(AT_ONCE, || (target.resident_mib() <= before + AFTERWARDS_MIB).then_some(()));
                assert!(back.is_some(), "the host has {} MiB, and {before} before", target.resident_mib());
                if !attack.continues() {
                    break;
                }
            }
        },
    )
    .asserts("the host takes at most 64 MiB more, and 16 MiB five seconds after it is gone"),
    row("replaced-components", "replaces its component again and again, also by such as are refused", |attack| {
        let target = &attack.target;
        let compiled = || fs::read_dir(target.data.join("compiled")).expect("no folder").count();
        let before = compiled();
        let path = target.plugins.join("churn.wasm");
        let component = guests::component();
        attack.begin();
        for number in 1.. {
            for settings in ["", "[settings]\nstart = \"refuse\"\n"] {
                let digest = target.digest("churn");
                guests::settings(attack, "churn", settings);
                fs::write(&path, stamped(&component, &format!("{number} {}", settings.len()))).expect("no room");
                let is_refused = || target.plugin("churn").filter(|text| text.contains("\"lastError\":\""));
                until("the component to be looked at", || match settings {
                    "" => target.digest("churn").filter(|now| Some(now) != digest.as_ref()),
                    _ => is_refused(),
                });
            }
            let most = before + 3;
            until("the compiled code of what was replaced to go", || (compiled() <= most).then_some(()));
            if !attack.continues() && number >= 2 {
                break;
            }
        }
        guests::remove(attack, "churn");
        until("the compiled code of what is gone to go", || (compiled() <= before).then_some(()));
    })
    .asserts("compiled code is kept of what runs and ran last, and of nothing when the plugin is gone"),
    row(
        "token-that-runs-out",
        "stays connected when its token runs out, by itself or because the clock is set ahead",
        |attack| {
            let target = &attack.target;
            attack.begin();
            // Clocks may differ by ten minutes, so the token stays valid that long after its expiry.
            let counts_for_one_second = target.key_of_mallory().token("local", now() - 900, now() - 599);
            let mut conn = target.connect_with(counts_for_one_second);
            ends(&mut conn);
            let mut conn = target.connect_with(target.key_of_mallory().token("local", now(), now() + 1_800));
            // Release builds have no test clock, so their clock cannot be set.
            if target.set_clock(7_200_000, "the wall clock went ahead") {
                ends(&mut conn);
            }
            target.set_clock(0, "the wall clock went back");
            while attack.continues() {
                // Sleeps until the attack is stopped; there is nothing more to do.
                std::thread::sleep(super::SLOW_INTERVAL);
            }
        },
    )
    .asserts("the connection ends within five seconds"),
];

fn ends(conn: &mut Conn) {
    let began = Instant::now();
    let _ = conn.read_to_end();
    assert!(began.elapsed() < AT_ONCE, "it ended after {:?}", began.elapsed());
}

impl Target {
    fn connect_with(&self, token: Result<String, impl std::fmt::Debug>) -> Conn {
        self.connect_accepted(&Login { password: Some(token.expect("no token")), ..Login::new("mallory") })
    }

    fn key_of_mallory(&self) -> &SigningKey {
        &self.device_key
    }

    /// The digest of the running component.
    fn digest(&self, name: &str) -> Option<String> {
        let answer = self.api.get(&format!("/v1/plugins/{name}"));
        (answer.status == 200).then(|| answer.body["digest"].to_string())
    }

    /// Sets the offset of the host's clock. Returns false if it has no test clock.
    fn set_clock(&self, shift_ms: i64, says: &str) -> bool {
        let lines = || fs::read_to_string(&self.log).map_or(0, |log| log.matches(says).count());
        let before = lines();
        let beside = self.clock.with_extension("new");
        fs::write(&beside, shift_ms.to_string()).expect("no room");
        fs::rename(beside, &self.clock).expect("no room");
        until_within(Duration::from_secs(3), || (lines() > before).then_some(())).is_some()
    }
}

/// A component that runs, with a module of 15,000 functions that are never called.
fn large() -> Vec<u8> {
    const FUNCTIONS: usize = 15_000;
    // No locals; x = (x * 3 + 7) ^ x, ten times.
    let step = [0x20, 0, 0x41, 3, 0x6c, 0x41, 7, 0x6a, 0x20, 0, 0x73, 0x21, 0].repeat(8);
    let code = [&[0][..], &step, &[0x20, 0, 0x0b]].concat();
    let body = [&length(code.len())[..], &code].concat();
    let count = length(FUNCTIONS);
    let section = |id: u8, content: &[u8]| [&[id][..], &length(content.len()), content].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, &[&count[..], &vec![0; FUNCTIONS]].concat()),
        section(10, &[&count[..], &body.repeat(FUNCTIONS)].concat()),
    ];
    [guests::component(), section(1, &module.concat())].concat()
}
