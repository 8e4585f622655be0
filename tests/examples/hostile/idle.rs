//! What connected devices cost that do nothing.

use switchbox_tests::{
    HostFolder, Process, config,
    hostile::{Conn, Login, resident_mib, wire::subscribe},
    until,
};

/// Each is registered, connected, subscribed to its config and its commands, and silent.
pub(crate) fn run(devices: usize) {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let alone = resident_mib(host.pid());
    let connected = all(&host, devices);
    println!("{alone} MiB alone, {} MiB with {devices} new devices, idle", resident_mib(host.pid()));
    drop(connected);
    host.stop();
    let host = host_folder.start();
    let registered = resident_mib(host.pid());
    let connected = all(&host, devices);
    let with_them = resident_mib(host.pid());
    let each_kib = with_them.saturating_sub(registered) as f64 * 1024.0 / devices as f64;
    println!("after a restart {registered} MiB with all registered, {with_them} MiB connected: {each_kib:.1} KiB each");
    drop(connected);
    host.stop();
}

fn all(host: &Process, devices: usize) -> Vec<Conn> {
    let connect = |number: usize| {
        let id = format!("idle-{number}");
        let mut conn = until("to be accepted: see ulimit -n", || {
            let mut conn = Conn::open(host.mqtt())?;
            conn.send(&Login { keep_alive_secs: 3_600, ..Login::new(&id) }.packet());
            conn.is_accepted().then_some(conn)
        });
        conn.send(&subscribe(1, [&*config(&id), &*format!("/devices/{id}/commands/#")], 1));
        conn.packet_of(9).expect("no SUBACK");
        conn
    };
    (0..devices).map(connect).collect()
}
