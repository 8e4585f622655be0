//! More than the host can do is shed where it costs least. Who is there already is served.

use switchbox_tests::{
    Place, Process,
    hostile::{Conn, Login},
    until,
};

/// How often a limit was hit.
fn hits(host: &Process, limit: &str) -> u64 {
    let metrics = host.admin().get("/metrics").body.to_string().replace("\\\"", "\"").replace("\\n", "\n");
    let line = format!("switchbox_limit_hits_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[test]
fn more_connects_than_the_host_takes_in_a_second_are_closed_as_they_come() {
    let place = Place::new();
    let host = place.start_with(&["--max-connects-per-second", "10"]);
    let mut lamp = host.device("lamp-1");
    let let_in = |number: usize| {
        let mut conn = Conn::open(host.mqtt())?;
        conn.send(&Login::new(&format!("flood-{number}")).packet());
        conn.is_let_in().then_some(conn)
    };
    let flood: Vec<_> = (0..300).filter_map(let_in).collect();
    assert!(flood.len() < 300, "all were let in");
    assert!(hits(&host, "connects_per_second") > 0);
    host.logged(&["connections are closed as they come", "connects_per_second"]);
    lamp.event("who is there is served");
    let mut number = 1_000;
    until("a newcomer to be let in when the flood is over", || {
        number += 1;
        let_in(number)
    });
    host.stop();
}

#[test]
fn those_who_ask_the_admin_api_nothing_keep_nobody_from_it() {
    let place = Place::new();
    let host = place.start();
    let admin = host.admin().address().parse().unwrap();
    let idle: Vec<_> = (0..600).filter_map(|_| Conn::open(admin)).collect();
    until("the API to answer", || host.admin().try_post("/v1/none", &serde_json::Value::Null));
    assert!(hits(&host, "admin_strangers") > 0);
    drop(idle);
    host.stop();
}
