//! What is to be known of single commands of the pages: which are not run, and what others print.

/// Commands that are not run, and the test that covers each.
pub(super) const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo run --profile quick -- demo",
        "the_demo_shows_both_scenarios_and_ends_by_itself runs the same with the build of the tests",
    ),
    (
        "cargo test",
        "of the repository: this test is part of it; of the new plugin: `plugin_new::tests` in the unit tests of the command line",
    ),
    ("cargo install --path host", "a link to the program of these tests, in a folder of PATH"),
];

/// What some of the commands print. A command that only looks is repeated until it does.
pub(super) const PRINTS: &[(&str, &str)] = &[
    ("switchbox plugin new", "cargo wasm"),
    ("switchbox plugin list", "night_light  running"),
    ("switchbox device config get fan-1", r#"{"on":true}"#),
    ("switchbox plugin test .", "too-warm: ok"),
    ("switchbox plugin try night_light", r#"effect: config fan-1 {"on":false}"#),
    ("switchbox plugin logs night_light", "sensor-1 is at 30: on = true"),
    ("switchbox explain fan-1", "plugin night_light"),
    ("switchbox dead-letters list", "night_light"),
    ("switchbox plugin get night_light", "35"),
    ("switchbox device config get lamp-1 --versions", "light"),
    ("switchbox device twin patch lamp-2", r#""level":40"#),
    ("switchbox device twin get lamp-1", "/light"),
    ("switchbox device command send", "taken: command "),
    ("switchbox device command list", "queued"),
    ("switchbox device method", "200 50"),
    ("switchbox gateway bind", "lamp-1 is bound to hub"),
    ("switchbox events", "telemetry"),
    ("switchbox device create door-1", "-i projects/local/locations/local/registries/default/devices/door-1"),
    ("switchbox device credential add", "door-1 has 2 credential(s)"),
    ("switchbox device get door-1", "credential 2"),
    ("switchbox audit", "POST /v1/tokens"),
    ("curl -K api.curl $API/v1/listeners", "127.0.0.1:"),
    ("curl -K api.curl $REGISTRY/devices/lamp-1", r#""room":"hall""#),
    ("curl -K api.curl $REGISTRY/devices/lamp-1:modifyCloudToDeviceConfig", r#""version":"1""#),
    ("curl -K api.curl -X PATCH $REGISTRY/devices/lamp-1/twin", r#""desiredVersion":"2""#),
    ("curl -K api.curl $REGISTRY/devices/lamp-1/twin", r#""differs":[{"#),
    ("curl -K api.curl $REGISTRY/devices/lamp-1/configVersions", r#""version":"2""#),
    ("curl -K api.curl $REGISTRY/devices/lamp-1:sendCommandToDevice", r#""id":"api."#),
    ("curl -K api.curl $REGISTRY/devices/lamp-1/commands", r#""status":"queued""#),
    ("curl -K api.curl $REGISTRY/devices/lamp-2:invokeMethod", r#""status":200"#),
    ("curl -K api.curl $API/v1/plugins", r#""name":"wake""#),
    ("curl -K api.curl $API/v1/plugins/wake:disable", r#""state":"disabled""#),
    (r#"curl -K api.curl "$API/v1/events?kind=connected"#, "lamp-2"),
    ("curl -K api.curl $API/v1/explain/lamp-1", "config version 2"),
    ("curl -K api.curl $API/v1/tokens", r#""token":"#),
    (r#"curl -K api.curl "$API/v1/audit"#, "POST /v1/tokens"),
    ("curl -sf http://127.0.0.1:8080/readyz", "ready"),
    ("curl -K api.curl $API/metrics", "switchbox_devices 2"),
];
pub(super) const LOOKS: &[&str] = &[
    "switchbox plugin list",
    "switchbox device config get fan-1",
    "switchbox plugin logs",
    "switchbox plugin get",
    "switchbox explain",
    "switchbox dead-letters list",
    "curl -K api.curl $API/v1/plugins",
];
