//! One setting as its source has it: read once, as the type of its kind, beside what was written, which messages and the printed
//! settings show. Pure.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::Serialize;

use super::keys::Kind;
use switchbox_rules::{duration, size::Size};

/// The parts that a ratio of 1 has.
const MILLION: f64 = 1e6;

/// A value of one of the kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
    Number(u64),
    Size(Size),
    /// In parts of a million.
    Ratio(u32),
    Duration(Duration),
    Switch(bool),
    /// `None` if nothing listens there.
    Address(Option<SocketAddr>),
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "settings file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// A setting of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) written: String,
    /// `Err` says what a value must be.
    pub(super) value: Result<Value, String>,
    pub(super) origin: Origin,
}

impl Setting {
    /// A default, or from the environment, or a flag.
    pub(super) fn read(kind: Kind, written: String, origin: Origin) -> Self {
        Self { value: value(kind, &written), written, origin }
    }

    /// From the settings file. Returns `None` if its type in TOML is not that of the setting.
    pub(super) fn of_file(kind: Kind, value: &toml::Value) -> Option<Self> {
        let typed = |written: String, value| Self { written, value: Ok(value), origin: Origin::File };
        match (kind, value) {
            (
                Kind::Text(_) | Kind::List(_) | Kind::Size | Kind::Duration | Kind::Address,
                toml::Value::String(text),
            ) => Some(Self::read(kind, text.clone(), Origin::File)),
            (Kind::List(_), toml::Value::Array(texts)) => {
                // An item with a comma would be two elsewhere.
                let text = |item: &toml::Value| item.as_str().filter(|text| !text.contains(',')).map(str::to_owned);
                let texts = texts.iter().map(text).collect::<Option<Vec<_>>>()?;
                Some(typed(texts.join(","), Value::List(items(texts.iter().map(String::as_str)))))
            }
            // A negative number is refused with the others that are out of range.
            (Kind::Number | Kind::Size | Kind::Ratio, toml::Value::Integer(number)) => {
                Some(Self::read(kind, number.to_string(), Origin::File))
            }
            (Kind::Ratio, toml::Value::Float(number)) => Some(Self::read(kind, number.to_string(), Origin::File)),
            (Kind::Switch, toml::Value::Boolean(on)) => Some(typed(on.to_string(), Value::Switch(*on))),
            _ => None,
        }
    }

    /// As it is written in the settings file. A value that cannot be read becomes a text, which is refused there, too.
    pub(super) fn in_file(&self) -> String {
        match &self.value {
            Ok(Value::Number(number)) => number.to_string(),
            Ok(Value::Size(Size(bytes))) if self.written.bytes().all(|byte| byte.is_ascii_digit()) => bytes.to_string(),
            Ok(Value::Ratio(parts)) => format!("{:?}", f64::from(*parts) / MILLION),
            Ok(Value::Switch(on)) => on.to_string(),
            Ok(Value::List(texts)) => {
                toml::Value::Array(texts.iter().cloned().map(toml::Value::String).collect()).to_string()
            }
            _ => toml::Value::String(self.written.clone()).to_string(),
        }
    }
}

fn value(kind: Kind, text: &str) -> Result<Value, String> {
    let wrong = |what: &str| format!("must be {what}, not {text:?}");
    match kind {
        Kind::Text(_) => Ok(Value::Text(text.to_owned())),
        Kind::List(_) => Ok(Value::List(items(text.split(',')))),
        Kind::Number => text.parse().map(Value::Number).map_err(|_| wrong("a whole number")),
        Kind::Size => text.parse().map(Value::Size).map_err(|_: String| wrong("a number of bytes such as 64MiB")),
        Kind::Ratio => ratio(text).map(Value::Ratio).ok_or_else(|| wrong("a number from 0 to 1")),
        Kind::Duration => duration::parse(text).map(Value::Duration),
        Kind::Switch => text.parse().map(Value::Switch).map_err(|_| wrong("true or false")),
        Kind::Address if text.is_empty() => Ok(Value::Address(None)),
        Kind::Address => match address(text) {
            Some(address) => Ok(Value::Address(Some(address))),
            None => Err(not_an_address(text)),
        },
    }
}

fn items<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    texts.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// In parts of a million.
fn ratio(text: &str) -> Option<u32> {
    let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio))?;
    Some((ratio * MILLION).round() as u32)
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().ok(),
    }
}

pub(super) fn not_an_address(text: &str) -> String {
    format!("must be an address and a port such as 127.0.0.1:1883, not {text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_gives_the_same_value() {
        let list = Value::List(vec!["a".into(), "b".into()]);
        for (kind, text, in_file, value) in [
            (Kind::Number, "7", "7", Value::Number(7)),
            (Kind::Size, "64KiB", "\"64KiB\"", Value::Size(Size(64 << 10))),
            (Kind::Size, "64", "64", Value::Size(Size(64))),
            (Kind::Ratio, "0.25", "0.25", Value::Ratio(250_000)),
            (Kind::Ratio, "1", "1", Value::Ratio(1_000_000)),
            (Kind::Duration, "1m 30s", "\"1m 30s\"", Value::Duration(Duration::from_secs(90))),
            (Kind::Switch, "true", "true", Value::Switch(true)),
            (Kind::List("X"), "a, b,", "[\"a\", \"b\"]", list.clone()),
            (Kind::List("X"), "a,b", "\"a,b\"", list),
            (Kind::Address, "", "\"\"", Value::Address(None)),
            (Kind::Address, "localhost:5", "\"127.0.0.1:5\"", Value::Address(Some(([127, 0, 0, 1], 5).into()))),
            (Kind::Text("X"), "a,b", "\"a,b\"", Value::Text("a,b".into())),
        ] {
            let read = Setting::read(kind, text.into(), Origin::Flag);
            assert_eq!(read.value.as_ref(), Ok(&value), "{text}");
            let printed = read.in_file();
            for in_file in [in_file, printed.as_str()] {
                let file: toml::Table = format!("x = {in_file}").parse().unwrap();
                assert_eq!(Setting::of_file(kind, &file["x"]).unwrap().value, Ok(value.clone()), "{in_file}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_it_must_be() {
        for (kind, text, part) in [
            (Kind::Number, "-1", "must be a whole number, not \"-1\""),
            (Kind::Size, "1x", "must be a number of bytes such as 64MiB"),
            (Kind::Ratio, "NaN", "must be a number from 0 to 1"),
            (Kind::Duration, "20", "write it as 100ms, 5s or 1m"),
            (Kind::Switch, "yes", "must be true or false, not \"yes\""),
            (Kind::Address, "9001", "must be an address and a port"),
        ] {
            let error = Setting::read(kind, text.into(), Origin::Environment).value.unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
