//! Merging the sources and checking what comes out.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use super::{ALL, AdminAuth, Enroll, Grant, Key, Origin, Settings, Spec, TlsFiles};
use switchbox_model::{AllowedHosts, PayloadLimits, limits};

/// One thing that is wrong, with the key as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Empty when the file as a whole cannot be read.
    pub key: String,
    pub origin: Origin,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.origin, self.text),
            key => write!(f, "{key} ({}): {}", self.origin, self.text),
        }
    }
}

/// All that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings have {} problem(s):", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

type Values = BTreeMap<Key, (String, Origin)>;

/// Merges defaults, the text of a settings file, the environment and flags, the later over the earlier.
pub fn resolve(
    file: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
    flags: &[(Key, String)],
) -> Result<Settings, Problems> {
    let mut problems = Vec::new();
    let mut values: Values = ALL.iter().map(|spec| (spec.key, (spec.default.to_owned(), Origin::Default))).collect();
    if let Some(text) = file {
        read_file(text, &mut values, &mut problems);
    }
    for Spec { key, .. } in ALL {
        if let Some(value) = environment(&key.variable()) {
            values.insert(*key, (value, Origin::Environment));
        }
    }
    for (key, value) in flags {
        values.insert(*key, (value.clone(), Origin::Flag));
    }
    default_folder(&mut values);
    let settings = check(values, &mut problems);
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(Problems(problems)),
    }
}

fn read_file(text: &str, values: &mut Values, problems: &mut Vec<Problem>) {
    match text.parse::<toml::Table>() {
        Ok(table) => flatten("", &table, values, problems),
        Err(error) => problems.push(Problem {
            key: String::new(),
            origin: Origin::File,
            text: error.to_string().trim_end().to_owned(),
        }),
    }
}

fn flatten(prefix: &str, table: &toml::Table, values: &mut Values, problems: &mut Vec<Problem>) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        let mut problem = |text: String| problems.push(Problem { key: name.clone(), origin: Origin::File, text });
        match (Key::of(&name), value) {
            (Some(key), toml::Value::String(text)) if !key.is_number() => {
                values.insert(key, (text.clone(), Origin::File));
            }
            (Some(key), toml::Value::Integer(number)) if key.is_number() => {
                values.insert(key, (number.to_string(), Origin::File));
            }
            (Some(key), other) => {
                let wanted = if key.is_number() { "a whole number" } else { "a text in quotes" };
                problem(format!("must be {wanted}, not {}", other.type_str()));
            }
            (None, toml::Value::Table(inner)) if is_table(&name) => {
                flatten(&format!("{name}."), inner, values, problems);
            }
            (None, _) if is_table(&name) => problem(format!("is a table: write [{name}]")),
            (None, _) => problem(format!("there is no such key; the keys are {}", names())),
        }
    }
}

fn is_table(name: &str) -> bool {
    ALL.iter().any(|spec| spec.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn names() -> String {
    ALL.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ")
}

fn default_folder(values: &mut Values) {
    let data = values.get(&Key::Data).map(|(data, _)| PathBuf::from(data)).unwrap_or_default();
    if let Some((folder, Origin::Default)) = values.get_mut(&Key::PluginsFolder) {
        *folder = data.join("plugins").display().to_string();
    }
}

/// Reads values and gathers what is wrong with them.
struct Check<'a> {
    values: &'a Values,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Check<'a> {
    fn problem(&mut self, key: Key, text: String) {
        let origin = self.values.get(&key).map_or(Origin::Default, |(_, origin)| *origin);
        self.problems.push(Problem { key: key.name().into(), origin, text });
    }

    fn text(&self, key: Key) -> &'a str {
        self.values.get(&key).map_or("", |(text, _)| text)
    }

    fn path(&mut self, key: Key) -> Option<PathBuf> {
        if self.text(key).is_empty() {
            self.problem(key, "must not be empty".into());
            return None;
        }
        Some(PathBuf::from(self.text(key)))
    }

    /// Separated by commas; each as a browser writes it.
    fn origins(&mut self, key: Key) -> Option<Vec<String>> {
        let all: Vec<_> = self.text(key).split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        let is_origin = |origin: &&&str| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
        };
        if let Some(wrong) = all.iter().find(|origin| !is_origin(origin)) {
            self.problem(
                key,
                format!("must be origins such as https://panel.example, separated by commas, not {wrong:?}"),
            );
            return None;
        }
        Some(all.into_iter().map(str::to_owned).collect())
    }

    fn one_of<T: Copy>(&mut self, key: Key, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key);
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(key, format!("must be {}, not {text:?}", names.join(" or ")));
        }
        found
    }

    fn at_least<T: FromStr + PartialOrd + fmt::Display + Copy>(&mut self, key: Key, least: T) -> Option<T> {
        let found = self.text(key).parse::<T>().ok().filter(|number| *number >= least);
        if found.is_none() {
            let text = self.text(key).to_owned();
            self.problem(key, format!("must be a whole number from {least} on, not {text:?}"));
        }
        found
    }

    fn between<T: FromStr + PartialOrd + fmt::Display + Copy>(&mut self, key: Key, least: T, most: T) -> Option<T> {
        let found = self.text(key).parse::<T>().ok().filter(|number| (least..=most).contains(number));
        if found.is_none() {
            let text = self.text(key).to_owned();
            self.problem(key, format!("must be a whole number from {least} to {most}, not {text:?}"));
        }
        found
    }

    fn seconds(&mut self, key: Key) -> Option<Duration> {
        self.between(key, 1, limits::DEADLINE_SECS_MOST).map(Duration::from_secs)
    }

    fn payloads(&mut self) -> Option<PayloadLimits> {
        let mut bytes = |key| self.between(key, 1, limits::PAYLOAD_BYTES_MOST);
        // Each is read before any is missed.
        let telemetry_bytes = bytes(Key::DevicesMaxTelemetryBytes);
        let state_bytes = bytes(Key::DevicesMaxStateBytes);
        let message_bytes = bytes(Key::MqttMaxMessageBytes);
        Some(PayloadLimits {
            telemetry_bytes: telemetry_bytes?,
            state_bytes: state_bytes?,
            message_bytes: message_bytes?,
        })
    }

    fn hosts(&mut self, key: Key) -> Option<AllowedHosts> {
        let hosts = self.text(key).parse();
        hosts.map_err(|text: String| self.problem(key, text)).ok()
    }

    fn address(&mut self, key: Key) -> Option<SocketAddr> {
        let text = self.text(key).to_owned();
        let address = address(&text);
        if address.is_none() {
            self.problem(key, format!("must be an address and a port such as 127.0.0.1:1883, not {text:?}"));
        }
        address
    }

    /// Nothing listens there when it is empty. `Err`: it is wrong.
    fn optional(
        &mut self,
        read: impl FnOnce(&mut Self, Key) -> Option<SocketAddr>,
        key: Key,
    ) -> Result<Option<SocketAddr>, ()> {
        if self.text(key).is_empty() { Ok(None) } else { read(self, key).map(Some).ok_or(()) }
    }

    /// For what is sent there as everybody on the way can read it.
    fn plain_address(&mut self, key: Key, what: &str) -> Option<SocketAddr> {
        let address = self.address(key)?;
        if !address.ip().is_loopback() && self.text(Key::InsecureListener) != "true" {
            let (text, port) = (self.text(key).to_owned(), address.port());
            let with_tls = match key {
                Key::AdminListen => "--admin-tls",
                Key::MqttWsListen => "--wss",
                _ => "--mqtt-tls",
            };
            self.problem(
                key,
                format!(
                    "{text} can be reached from other machines, and without TLS anybody on the way could {what}; listen \
                     there by {with_tls} with a certificate (`switchbox cert server NAME` makes one), use a loopback \
                     address such as 127.0.0.1:{port}, or say --insecure-listener where everybody on the way is trusted"
                ),
            );
            return None;
        }
        Some(address)
    }

    /// The certificates, which must be named where something listens with TLS.
    fn tls(&mut self, wanted_by: Option<Key>) -> Result<Option<TlsFiles>, ()> {
        let path = |key| Some(self.text(key)).filter(|text| !text.is_empty()).map(PathBuf::from);
        let (certificate, key, client_authority) = (path(Key::TlsCert), path(Key::TlsKey), path(Key::TlsClientCa));
        match (certificate, key, wanted_by) {
            (Some(certificate), Some(key), _) => Ok(Some(TlsFiles { certificate, key, client_authority })),
            (None, None, None) => Ok(None),
            (certificate, _, wanted_by) => {
                let missing = if certificate.is_none() { Key::TlsCert } else { Key::TlsKey };
                let by = wanted_by.map_or("the other of the two", Key::name);
                self.problem(
                    missing,
                    format!("is missing, and {by} needs it: `switchbox cert server NAME` makes both files"),
                );
                Err(())
            }
        }
    }

    fn enroll(&mut self, listeners: &[(Key, Option<SocketAddr>)]) -> Option<Enroll> {
        let reachable =
            listeners.iter().find(|(_, address)| address.is_some_and(|address| !address.ip().is_loopback()));
        match (self.text(Key::DevicesEnroll), reachable) {
            ("", Some(_)) => Some(Enroll::Closed),
            ("", None) => Some(Enroll::Open),
            ("open", Some((key, _))) => {
                let text = format!("must be closed, for with {} other machines can connect as any device", key.name());
                self.problem(Key::DevicesEnroll, text);
                None
            }
            _ => self.one_of(Key::DevicesEnroll, &[("open", Enroll::Open), ("closed", Enroll::Closed)]),
        }
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().ok(),
    }
}

fn check(values: Values, problems: &mut Vec<Problem>) -> Option<Settings> {
    let mut check = Check { values: &values, problems };
    // Each is read before any is missed, so that all problems are found.
    let data = check.path(Key::Data);
    let insecure = check.one_of(Key::InsecureListener, &[("true", true), ("false", false)]);
    let eavesdrop = "read what devices say and with what they prove who they are";
    let mqtt = check.plain_address(Key::MqttListen, eavesdrop);
    let ws = check.optional(|check, key| check.plain_address(key, eavesdrop), Key::MqttWsListen);
    let mqtt_tls = check.optional(Check::address, Key::MqttTlsListen);
    let wss = check.optional(Check::address, Key::MqttWssListen);
    let admin = check.plain_address(Key::AdminListen, "read the token on its way and run the host");
    let admin_tls = check.optional(Check::address, Key::AdminTlsListen);
    let listeners = [
        (Key::MqttListen, mqtt),
        (Key::MqttTlsListen, mqtt_tls.ok().flatten()),
        (Key::MqttWsListen, ws.ok().flatten()),
        (Key::MqttWssListen, wss.ok().flatten()),
        // Devices may speak HTTP, too.
        (Key::AdminListen, admin),
        (Key::AdminTlsListen, admin_tls.ok().flatten()),
    ];
    let with_tls = listeners.iter().skip(1).step_by(2).find(|(_, address)| address.is_some());
    let tls = check.tls(with_tls.map(|(key, _)| *key));
    let max_connections = check.at_least(Key::MqttMaxConnections, 1);
    let max_connections_per_address = check.at_least(Key::MqttMaxConnectionsPerAddress, 1);
    let max_connects_per_second = check.at_least(Key::MqttMaxConnectsPerSecond, 1);
    let connect_deadline = check.seconds(Key::MqttConnectDeadlineSeconds);
    let packet_deadline = check.seconds(Key::MqttPacketDeadlineSeconds);
    let payloads = check.payloads();
    let admin_auth = check.one_of(Key::AdminAuth, &[("token", AdminAuth::Token), ("none", AdminAuth::None)]);
    let cors_origins = check.origins(Key::AdminCorsOrigins);
    let plugins = check.path(Key::PluginsFolder);
    let grant = check.one_of(Key::PluginsGrant, &[("asked", Grant::Asked), ("consent", Grant::Consent)]);
    let enroll = check.enroll(&listeners);
    let queued_commands = check.at_least(Key::DevicesQueuedCommands, 1);
    let allowed_hosts = check.hosts(Key::MethodsAllowedHosts);
    let journal_keep_bytes = check.at_least(Key::JournalKeepBytes, 0);
    let journal_keep_executions_bytes = check.at_least(Key::JournalKeepExecutionsBytes, 0);
    // One event of the largest size must fit into what QoS 0 may take of it, which is three quarters.
    let largest_bytes = payloads.unwrap_or_default().largest_bytes().max(limits::TELEMETRY_BYTES);
    let journal_queue_bytes = check.at_least(Key::JournalQueueBytes, 4 * largest_bytes);
    let disk_reserve_bytes = check.at_least(Key::DiskReserveBytes, 0);
    let disk_warn_free_bytes = check.at_least(Key::DiskWarnFreeBytes, 0);
    insecure?;
    Some(Settings {
        data: data?,
        mqtt: mqtt?,
        mqtt_tls: mqtt_tls.ok()?,
        ws: ws.ok()?,
        wss: wss.ok()?,
        tls: tls.ok()?,
        max_connections: max_connections?,
        max_connections_per_address: max_connections_per_address?,
        max_connects_per_second: max_connects_per_second?,
        connect_deadline: connect_deadline?,
        packet_deadline: packet_deadline?,
        payloads: payloads?,
        admin: admin?,
        admin_tls: admin_tls.ok()?,
        admin_auth: admin_auth?,
        cors_origins: cors_origins?,
        plugins: plugins?,
        grant: grant?,
        enroll: enroll?,
        queued_commands: queued_commands?,
        allowed_hosts: allowed_hosts?,
        journal_keep_bytes: journal_keep_bytes?,
        journal_keep_executions_bytes: journal_keep_executions_bytes?,
        journal_queue_bytes: journal_queue_bytes?,
        disk_reserve_bytes: disk_reserve_bytes?,
        disk_warn_free_bytes: disk_warn_free_bytes?,
        in_force: values,
    })
}
