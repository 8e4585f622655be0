//! Takes one value after the other, checks it, and gathers what is wrong with them.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Enroll, Key, Origin, Problem, TlsFiles,
    keys::Kind,
    setting::{Setting, Value, not_an_address},
};
use switchbox_azure::Hubs;
use switchbox_model::{AllowedHosts, PayloadLimits, limits};
use switchbox_rules::{duration, size::Size};

/// There is one of each key.
pub(super) type Values = BTreeMap<Key, Setting>;

/// The units that a number of bytes may have, for messages.
fn units(key: Key) -> &'static str {
    if key.kind() == Kind::Size { ", of bytes or with a unit (KB, KiB, MB, MiB, GB, GiB)" } else { "" }
}

/// Checks values and gathers what is wrong with them.
pub(super) struct Check<'a> {
    pub(super) values: &'a Values,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(super) fn problem(&mut self, key: Key, text: String) {
        let origin = self.values.get(&key).map_or(Origin::Default, |setting| setting.origin);
        self.problems.push(Problem { key: key.name().into(), origin, text });
    }

    /// What was written, for messages.
    fn written(&self, key: Key) -> &'a str {
        self.values.get(&key).map_or("", |setting| &setting.written)
    }

    fn read(&self, key: Key) -> Option<&'a Value> {
        self.values.get(&key)?.value.as_ref().ok()
    }

    /// The value. Notes what is wrong with one that could not be read.
    fn value(&mut self, key: Key) -> Option<&'a Value> {
        match &self.values.get(&key)?.value {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problem(key, problem.clone());
                None
            }
        }
    }

    pub(super) fn text(&self, key: Key) -> &'a str {
        match self.read(key) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    fn list(&self, key: Key) -> &'a [String] {
        match self.read(key) {
            Some(Value::List(texts)) => texts,
            _ => &[],
        }
    }

    pub(super) fn path(&mut self, key: Key) -> Option<PathBuf> {
        if self.text(key).is_empty() {
            self.problem(key, "must not be empty".into());
            return None;
        }
        Some(PathBuf::from(self.text(key)))
    }

    /// A program's whole path. Returns `Ok(None)` if it is empty, and `Err` if it is not a whole path: which program a name alone means
    /// would depend on the environment.
    pub(super) fn program(&mut self, key: Key) -> Result<Option<PathBuf>, ()> {
        match self.text(key) {
            "" => Ok(None),
            path if Path::new(path).is_absolute() => Ok(Some(PathBuf::from(path))),
            path => {
                let text = format!("{path:?} must be a program's whole path, such as /usr/local/bin/componentize-qjs");
                self.problem(key, text);
                Err(())
            }
        }
    }

    /// Each as a browser writes it.
    pub(super) fn origins(&mut self, key: Key) -> Option<Vec<String>> {
        let all = self.list(key);
        let is_origin = |origin: &&String| {
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
        Some(all.to_vec())
    }

    pub(super) fn one_of<T: Copy>(&mut self, key: Key, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key);
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(key, format!("must be {}, not {text:?}", names.join(" or ")));
        }
        found
    }

    pub(super) fn switch(&mut self, key: Key) -> Option<bool> {
        match self.value(key)? {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }

    /// A number, or a number of bytes.
    fn number<T: TryFrom<u64>>(&self, key: Key) -> Option<T> {
        match self.read(key)? {
            Value::Number(number) | Value::Size(Size(number)) => T::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A ratio from 0 to 1, in parts of a million.
    pub(super) fn ratio(&mut self, key: Key) -> Option<u32> {
        match self.value(key)? {
            Value::Ratio(parts) => Some(*parts),
            _ => None,
        }
    }

    pub(super) fn at_least<T: TryFrom<u64> + PartialOrd + fmt::Display + Copy>(
        &mut self,
        key: Key,
        least: T,
    ) -> Option<T> {
        let found = self.number::<T>(key).filter(|number| *number >= least);
        if found.is_none() {
            let text = self.written(key);
            self.problem(key, format!("must be a whole number from {least} on{}, not {text:?}", units(key)));
        }
        found
    }

    pub(super) fn between<T: TryFrom<u64> + PartialOrd + fmt::Display + Copy>(
        &mut self,
        key: Key,
        least: T,
        most: T,
    ) -> Option<T> {
        let found = self.number::<T>(key).filter(|number| (least..=most).contains(number));
        if found.is_none() {
            let text = self.written(key);
            self.problem(key, format!("must be a whole number from {least} to {most}{}, not {text:?}", units(key)));
        }
        found
    }

    /// A time from one second to the longest deadline.
    pub(super) fn deadline(&mut self, key: Key) -> Option<Duration> {
        self.duration(key, |time| time >= Duration::from_secs(1), "from 1s")
    }

    /// As [`Check::deadline`], or no time at all.
    pub(super) fn interval(&mut self, key: Key) -> Option<Duration> {
        self.duration(key, |time| time.is_zero() || time >= Duration::from_secs(1), "0s, or from 1s")
    }

    fn duration(&mut self, key: Key, is_allowed: impl Fn(Duration) -> bool, from: &str) -> Option<Duration> {
        let most = Duration::from_secs(limits::MAX_DEADLINE_SECS);
        let Value::Duration(time) = self.value(key)? else { return None };
        if is_allowed(*time) && *time <= most {
            return Some(*time);
        }
        let text = format!("must be {from} to {}, not {:?}", duration::text(most), self.written(key));
        self.problem(key, text);
        None
    }

    pub(super) fn payloads(&mut self) -> Option<PayloadLimits> {
        let mut bytes = |key| self.between(key, 1, limits::MAX_PAYLOAD_BYTES);
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

    pub(super) fn hosts(&mut self, key: Key) -> Option<AllowedHosts> {
        let hosts = AllowedHosts::new(self.list(key).iter().map(String::as_str));
        hosts.map_err(|text| self.problem(key, text)).ok()
    }

    pub(super) fn hubs(&mut self, key: Key) -> Option<Hubs> {
        let hubs = Hubs::new(self.list(key).iter().map(String::as_str));
        hubs.map_err(|text| self.problem(key, text)).ok()
    }

    pub(super) fn address(&mut self, key: Key) -> Option<SocketAddr> {
        match self.value(key)? {
            Value::Address(Some(address)) => Some(*address),
            _ => {
                self.problem(key, not_an_address(self.written(key)));
                None
            }
        }
    }

    /// Returns `Ok(None)` if nothing listens there, and `Err` if it is not an address.
    pub(super) fn optional(
        &mut self,
        read: impl FnOnce(&mut Self, Key) -> Option<SocketAddr>,
        key: Key,
    ) -> Result<Option<SocketAddr>, ()> {
        match self.read(key) {
            Some(Value::Address(None)) => Ok(None),
            _ => read(self, key).map(Some).ok_or(()),
        }
    }

    /// Reads the address of a listener without TLS.
    pub(super) fn plain_address(&mut self, key: Key, what: &str, insecure: bool) -> Option<SocketAddr> {
        let address = self.address(key)?;
        if !address.ip().is_loopback() && !insecure {
            let (text, port) = (self.written(key), address.port());
            let with_tls = match key {
                Key::AdminListen => "--admin-tls",
                Key::MqttWsListen => "--wss",
                _ => "--mqtt-tls",
            };
            self.problem(
                key,
                format!(
                    "{text} can be reached from other machines, and without TLS anyone on the network path could {what}; listen \
                     there by {with_tls} with a certificate (`switchbox cert server NAME` makes one), use a loopback \
                     address such as 127.0.0.1:{port}, or say --insecure-listener if everything on the network path is trusted"
                ),
            );
            return None;
        }
        Some(address)
    }

    /// The certificates, which must be named where something listens with TLS.
    pub(super) fn tls(&mut self, required_by: Option<Key>) -> Result<Option<TlsFiles>, ()> {
        let path = |key| Some(self.text(key)).filter(|text| !text.is_empty()).map(PathBuf::from);
        let (certificate, key, client_authority) = (path(Key::TlsCert), path(Key::TlsKey), path(Key::TlsClientCa));
        match (certificate, key, required_by) {
            (Some(certificate), Some(key), _) => Ok(Some(TlsFiles { certificate, key, client_authority })),
            (None, None, None) => Ok(None),
            (certificate, _, required_by) => {
                let missing = if certificate.is_none() { Key::TlsCert } else { Key::TlsKey };
                let by = required_by.map_or("the other of the two", Key::name);
                self.problem(
                    missing,
                    format!("is missing, and {by} needs it: `switchbox cert server NAME` makes both files"),
                );
                Err(())
            }
        }
    }

    pub(super) fn enroll(&mut self, listeners: &[(Key, Option<SocketAddr>)]) -> Option<Enroll> {
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
