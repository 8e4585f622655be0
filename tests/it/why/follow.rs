//! Events and a plugin's log, followed as they come.

use super::*;

#[test]
fn events_are_followed_as_they_come_and_from_where_one_was() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    let host = host_folder.start();
    let admin = host.admin();
    let _lamp = lamp(&host);
    let mut switch = host.device("switch-1");
    let (base, data) = (admin.base().to_owned(), host_folder.data());
    let data = data.to_str().unwrap();
    let arguments = ["events", "--follow", "--executions", "--device", "switch-1", "--admin", &base, "--data", data];
    let followed = Process::run(&host_folder, arguments.map(OsStr::new));
    until("an event and its execution on the command line", || {
        switch.event(AWAKE);
        let output = followed.output();
        (output.contains("switch-1 telemetry {\"state\"") && output.contains("→ plugin wake: 1 effect")).then_some(())
    });
    drop(followed);

    let mut lines = admin.stream("/v1/events:follow?kind=telemetry", "");
    assert_eq!(lines.next().as_deref(), Some(": following"));
    switch.event("first");
    let id = lines.find_map(|line| line.strip_prefix("id: ").map(str::to_owned)).expect("no event came");
    drop(lines);
    switch.event("second");
    switch.event("third");
    let data = admin.stream("/v1/events:follow?kind=telemetry", &id);
    let data =
        data.filter_map(|line| line.strip_prefix("data: ").map(|data| serde_json::from_str::<Value>(data).unwrap()));
    let payloads: Vec<_> = data.take(2).map(|event| event["binaryData"].as_str().unwrap().to_owned()).collect();
    assert_eq!(payloads, ["c2Vjb25k", "dGhpcmQ="], "second, third");
    // A stream that is open does not hold up the end.
    let _open = admin.stream("/v1/events:follow", "");
    host.stop();
}

#[test]
fn a_plugins_log_is_followed_line_by_line_until_it_is_interrupted() {
    let host_folder = HostFolder::new();
    host_folder.plugin("hostile.wasm", std::fs::read(HOSTILE).unwrap());
    let host = host_folder.start();
    let (base, data) = (host.admin().base().to_owned(), host_folder.data());
    let logs = |name| {
        let arguments = ["plugin", "logs", name, "--follow", "--admin", &base, "--data", data.to_str().unwrap()];
        Process::run(&host_folder, arguments.map(OsStr::new))
    };
    let mut device = host.device("villain-1");
    device.event("log 2");
    device.event("reject");
    until("the lines of the past", || {
        host.cli(&host_folder, &["plugin", "logs", "hostile"]).contains("not mine").then_some(())
    });
    let mut followed = logs("hostile");
    let seen = |times: usize| {
        until("lines of the log", || {
            let output = followed.output();
            let lines: Vec<_> =
                output.lines().filter_map(|line| Some(line.split_once("Z ")?.1.trim().to_owned())).collect();
            (lines.len() >= times).then_some(lines)
        })
    };
    let texts = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    };
    assert_eq!(texts(&seen(3)), ["warn: line 0", "warn: line 1", "failed: not mine"]);
    device.event("nothing");
    device.event("log 1");
    assert_eq!(texts(&seen(4))[3], "warn: line 0");
    // A dead letter that is driven again fails again, and that is news.
    let dead_letter = host.admin().dead_letters()[0]["id"].as_str().unwrap().to_owned();
    let _ = host.cli(&host_folder, &["dead-letters", "redrive", &dead_letter]);
    assert_eq!(texts(&seen(5))[4], "failed: not mine");
    assert!(followed.try_wait().is_none(), "{}", followed.log());
    followed.terminate();
    assert!(!followed.wait().success());
    let mut unknown = logs("nobody");
    assert_eq!(unknown.wait().code(), Some(4));
    assert!(unknown.log().contains("plugin nobody does not exist"), "{}", unknown.log());
    host.stop();
}
