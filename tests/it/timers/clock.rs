//! Timers and wall clocks that are wrong.

use super::*;

#[test]
fn timers_go_on_when_the_wall_clock_goes_back_also_over_a_restart() {
    const DAY: i64 = 86_400_000;
    let host_folder = host_folder();
    host_folder.set_clock(365 * DAY);
    let host = host_folder.start();
    let report = report(&host);
    let orders = json!([{"every": {"timer": "every", "ms": 300}}, {"after": {"timer": "after", "ms": 4_000}}]);
    order(&host, &orders);
    fired(&report, "every", 1);
    host_folder.set_clock(0);
    host.logged(&["the wall clock went back"]);
    let seen = reports(&report, "every").len();
    let reported = fired(&report, "every", seen + 3);
    assert_eq!(reported.last().unwrap()["late"], false);
    fired(&report, "after", 1);
    host_folder.set_clock(DAY);
    host.logged(&["the wall clock went ahead"]);
    let seen = reports(&report, "every").len();
    fired(&report, "every", seen + 2);
    host.kill();
    host_folder.set_clock(0);
    let host = host_folder.start();
    let report = self::report(&host);
    fired(&report, "every", 2);
    host.stop();
}

#[test]
fn timers_go_on_in_1970_and_in_the_last_year_of_a_machines_clock() {
    const YEAR: i64 = 365 * 86_400_000;
    let host_folder = host_folder();
    let host = host_folder.start();
    let report = report(&host);
    let cron = json!({"cron": {"timer": "cron", "expression": "* * * * *", "time_zone": "Europe/Berlin"}});
    order(&host, &json!([{"every": {"timer": "every", "ms": 200}}, cron]));
    fired(&report, "every", 1);
    for (shift, way) in
        [(5_000 - i64::try_from(now_ms()).unwrap(), "back to 1970"), (200 * YEAR, "ahead to where Linux has its end")]
    {
        let lines = host.log().matches("the wall clock went").count();
        host_folder.set_clock(shift);
        until(way, || (host.log().matches("the wall clock went").count() > lines).then_some(()));
        let seen = reports(&report, "every").len();
        fired(&report, "every", seen + 3);
        assert_eq!(host.admin().get("/readyz").status, 200);
        host.device("lamp-1").event("x");
        let _ = host.admin().get("/v1/events").ok();
        let _ = host.admin().get("/v1/plugins/deputy").ok();
        let _ = host.cli(&host_folder, &["explain", "report"]);
        let _ = host.cli(&host_folder, &["events"]);
    }
    host.kill();
    host_folder.set_clock(0);
    let host = host_folder.start();
    let report = self::report(&host);
    fired(&report, "every", 2);
    host.stop();
}
