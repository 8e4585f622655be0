//! What is in force, and what is refused, as tables.

use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

#[test]
fn a_host_without_settings_listens_on_loopback_only_and_asks_for_a_token() {
    let settings = resolve(None, &nothing, &[]).unwrap();
    assert_eq!(settings.mqtt.to_string(), "127.0.0.1:1883");
    assert_eq!(settings.admin.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.admin_auth, AdminAuth::Token);
    assert_eq!(settings.plugins, settings.data.join("plugins"));
}

#[test]
fn the_later_source_wins() {
    let file = "data = '/file'\n[mqtt]\nlisten = '127.0.0.1:1'\nmax-connections = 5\n[admin]\nlisten = '127.0.0.1:1'";
    let environment = |name: &str| match name {
        "SWITCHBOX_MQTT_LISTEN" | "SWITCHBOX_ADMIN_LISTEN" => Some("127.0.0.1:2".to_owned()),
        _ => None,
    };
    let settings = resolve(Some(file), &environment, &[(Key::MqttListen, "localhost:3".into())]).unwrap();
    assert_eq!((settings.mqtt.port(), settings.admin.port(), settings.max_connections), (3, 2, 5));
    let origins: Vec<_> =
        [Key::MqttListen, Key::AdminListen, Key::Data, Key::DevicesEnroll].map(|key| settings.origin(key)).into();
    assert_eq!(origins, [Origin::Flag, Origin::Environment, Origin::File, Origin::Default]);
    assert_eq!(settings.plugins, PathBuf::from("/file/plugins"));
}

#[test]
fn what_is_printed_is_a_settings_file_with_the_same_values() {
    let settings = Settings::with(&[
        (Key::Data, "/a \"b\"".into()),
        (Key::DevicesEnroll, "closed".into()),
        (Key::JournalKeepBytes, "64MiB".into()),
    ])
    .unwrap();
    let printed = settings.to_string();
    assert!(printed.contains("# flag") && printed.contains("# default"), "{printed}");
    let again = resolve(Some(&printed), &nothing, &[]).unwrap();
    assert_eq!((again.data, again.enroll, again.plugins), (settings.data, settings.enroll, settings.plugins));
    assert_eq!(again.journal_keep_bytes, 64 << 20);
}

#[test]
fn every_problem_is_reported_at_once_with_its_key() {
    let file = "mqtt = 3\ncolour = 'red'\n[admin]\nlisten = '0.0.0.0:80'\nauth = 'maybe'\nport = 4\n[journal]\nkeep-bytes = '1x'";
    let problems = resolve(Some(file), &nothing, &[(Key::MqttMaxConnections, "0".into())]).unwrap_err().0;
    let mut keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        ["admin.auth", "admin.listen", "admin.port", "colour", "journal.keep-bytes", "mqtt", "mqtt.max-connections"]
    );
}

#[test]
fn a_number_of_bytes_may_have_a_unit_in_each_source() {
    let file = Some("journal.keep-bytes = \"64MiB\"\ndisk.reserve-bytes = 1000");
    let environment = |name: &str| (name == "SWITCHBOX_DISK_WARN_FREE_BYTES").then(|| "1GiB".to_owned());
    let flags = [(Key::DevicesMaxStateBytes, "32KiB".to_owned())];
    let settings = resolve(file, &environment, &flags).unwrap();
    assert_eq!((settings.journal_keep_bytes, settings.disk_reserve_bytes), (64 << 20, 1_000));
    assert_eq!((settings.disk_warn_free_bytes, settings.payloads.state_bytes), (1 << 30, 32 << 10));
    let error = resolve(Some("mqtt.max-connections = \"5k\""), &nothing, &[]).unwrap_err().to_string();
    assert!(error.contains("mqtt.max-connections") && error.contains("must be a whole number, not string"), "{error}");
}

#[test]
fn values_of_the_file_have_the_types_of_toml() {
    let file = "
        insecure-listener = true
        mqtt.connect-deadline = \"1m 30s\"
        admin.cors-origins = [\"https://a.example\", \"https://b.example\"]
        methods.allowed-hosts = \"a.example, 10.0.0.1\"
        tracing.sample-ratio = 0.5
    ";
    let settings = resolve(Some(file), &nothing, &[]).unwrap();
    assert_eq!(settings.connect_deadline, std::time::Duration::from_secs(90));
    assert_eq!(settings.cors_origins, ["https://a.example", "https://b.example"]);
    let printed = settings.to_string();
    for line in [
        "insecure-listener = true",
        "admin.cors-origins = [\"https://a.example\", \"https://b.example\"]",
        "tracing.sample-ratio = 0.5",
    ] {
        assert!(printed.lines().any(|printed| printed.starts_with(line)), "{line} is not in\n{printed}");
    }
    for (line, part) in [
        ("insecure-listener = \"true\"", "must be true or false, not string"),
        ("mqtt.connect-deadline = 20", "must be a text such as \"20s\", not integer"),
        ("admin.cors-origins = [1]", "must be an array of texts"),
        ("admin.cors-origins = [\"https://a.example,https://b.example\"]", "must be an array of texts"),
        ("tracing.sample-ratio = \"0.5\"", "must be a number from 0 to 1"),
        ("data = 3", "must be a text in quotes, not integer"),
    ] {
        let error = resolve(Some(line), &nothing, &[]).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn what_is_refused_says_why() {
    for (key, value, part) in [
        (Key::MqttListen, "0.0.0.0:1883", "other machines"),
        (Key::MqttListen, "[::]:1883", "switchbox cert server"),
        (Key::MqttWsListen, "0.0.0.0:9001", "--insecure-listener"),
        (Key::MqttWsListen, "9001", "must be an address and a port"),
        (Key::MqttTlsListen, "0.0.0.0:8883", "tls.cert"),
        (Key::InsecureListener, "yes", "must be true or false"),
        (Key::AdminListen, "192.168.1.2:8080", "127.0.0.1:8080"),
        (Key::AdminListen, "example.org:80", "must be an address and a port"),
        (Key::AdminAuth, "off", "must be token or none, not \"off\""),
        (Key::PluginsGrant, "all", "must be asked or consent"),
        (Key::DevicesEnroll, "maybe", "must be open or closed"),
        (Key::JournalKeepBytes, "-1", "whole number from 0 on"),
        (Key::JournalKeepBytes, "1TB", "with a unit (KB, KiB, MB, MiB, GB, GiB), not \"1TB\""),
        (Key::JournalKeepBytes, "1g", "with a unit"),
        (Key::DevicesMaxTelemetryBytes, "1g", "with a unit"),
        (Key::Data, "", "must not be empty"),
        (Key::MqttConnectDeadline, "0s", "from 1s to 10m"),
        (Key::MqttConnectDeadline, "20", "write it as 100ms, 5s or 1m"),
        (Key::MqttPacketDeadline, "601s", "from 1s to 10m"),
        (Key::MqttSysInterval, "601s", "0s, or from 1s to 10m"),
        (Key::TracingOtlpEndpoint, "127.0.0.1:4318", "must be a URL"),
        (Key::TracingOtlpEndpoint, "http://user:word@collector:4318", "nothing secret"),
        (Key::TracingSampleRatio, "1.5", "from 0 to 1"),
        (Key::TracingSampleRatio, "NaN", "from 0 to 1"),
        (Key::DevicesMaxTelemetryBytes, "1048577", "from 1 to 1048576"),
        (Key::MqttMaxMessageBytes, "large", "from 1 to 1048576"),
        (Key::MethodsAllowedHosts, "a b", "\"a b\" is not a host"),
    ] {
        let error = Settings::with(&[(key, value.into())]).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(key.name()), "{error}");
    }
    let error = resolve(Some("mqtt = ["), &nothing, &[]).unwrap_err().to_string();
    assert!(error.contains("settings file") && error.contains("line 1"), "{error}");
}

#[test]
fn the_journals_queue_has_room_for_the_largest_payload() {
    let with = |queue: &str| {
        let flags = [(Key::MqttMaxMessageBytes, "1000000"), (Key::JournalQueueBytes, queue)];
        Settings::with(&flags.map(|(key, value)| (key, value.to_owned())))
    };
    assert_eq!(with("4000000").unwrap().payloads.largest_bytes(), 1_000_000);
    let error = with("3999999").unwrap_err().to_string();
    assert!(error.contains("journal.queue-bytes") && error.contains("from 4000000 on"), "{error}");
}

#[test]
fn a_listener_for_other_machines_needs_tls_or_allow_insecure_and_closed_enrolment() {
    let tls = [(Key::TlsCert, "c.pem"), (Key::TlsKey, "k.pem")];
    let settings = |more: &[(Key, &str)]| {
        let flags: Vec<_> = more.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Settings::with(&flags)
    };
    for (flags, enroll) in [
        (vec![], Some(Enroll::Open)),
        (vec![(Key::MqttTlsListen, "127.0.0.1:8883"), tls[0], tls[1]], Some(Enroll::Open)),
        (vec![(Key::MqttTlsListen, "0.0.0.0:8883"), tls[0], tls[1]], Some(Enroll::Closed)),
        (vec![(Key::MqttWssListen, "0.0.0.0:443"), tls[0], tls[1]], Some(Enroll::Closed)),
        (vec![(Key::MqttListen, "0.0.0.0:1883"), (Key::InsecureListener, "true")], Some(Enroll::Closed)),
        (vec![(Key::AdminTlsListen, "0.0.0.0:8443"), tls[0], tls[1]], Some(Enroll::Closed)),
        (vec![(Key::AdminListen, "0.0.0.0:8080"), (Key::InsecureListener, "true")], Some(Enroll::Closed)),
        (vec![(Key::AdminTlsListen, "0.0.0.0:8443"), tls[0], tls[1], (Key::DevicesEnroll, "open")], None),
        (vec![(Key::AdminTlsListen, "127.0.0.1:8443"), tls[0]], None),
        (vec![(Key::MqttTlsListen, "0.0.0.0:8883"), tls[0], tls[1], (Key::DevicesEnroll, "open")], None),
        (vec![(Key::MqttTlsListen, "0.0.0.0:8883"), tls[0]], None),
        (vec![tls[1]], None),
    ] {
        assert_eq!(settings(&flags).ok().map(|settings| settings.enroll), enroll, "{flags:?}");
    }
}

#[test]
fn headers_for_a_collector_are_sent_only_over_a_private_connection() {
    let resolved = |endpoint: &str| {
        let flags = [(Key::TracingOtlpEndpoint, endpoint.to_owned()), (Key::TracingHeadersFile, "/headers".to_owned())];
        resolve(None, &nothing, &flags)
    };
    for endpoint in ["https://collector.example", "http://127.0.0.1:4318", "http://localhost:4318"] {
        let tracing = resolved(endpoint).unwrap().tracing.unwrap();
        assert_eq!((tracing.endpoint.as_str(), tracing.sampled_of_million), (endpoint, 10_000));
    }
    let problems = resolved("http://collector.example:4318").unwrap_err();
    assert!(problems.to_string().contains("must be https"), "{problems}");
    assert!(Settings::with(&[]).unwrap().tracing.is_none(), "off unless asked for");
}
