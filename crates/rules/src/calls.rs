//! Checks of the arguments of host calls, for the host and for the fake host of native tests: both refuse the same arguments, with
//! the same class of error, the same limit and the same text.

use std::fmt;

use super::{
    limits::{self, LimitName, plugin_names as names},
    names::DeviceName,
    topic::is_hosts_own,
};

/// Why a call is refused, by the class of error that the plugin gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An argument is wrong; with the limit that it exceeds, if it exceeds one.
    Invalid(String, Option<LimitName>),
    Denied(String),
    Limit(String, LimitName),
}

impl Refusal {
    fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into(), None)
    }

    /// The limit that the call has hit.
    #[must_use]
    pub fn limit(&self) -> Option<LimitName> {
        match self {
            Self::Invalid(_, limit) => *limit,
            Self::Denied(_) => None,
            Self::Limit(_, limit) => Some(*limit),
        }
    }

    /// The limit's name and `text` for the plugin.
    #[must_use]
    pub fn limit_text(limit: LimitName, text: impl fmt::Display) -> String {
        format!("the limit \"{limit}\" is reached: {text}")
    }

    /// A refusal of the class `Limit`.
    #[must_use]
    pub fn over(limit: LimitName, text: impl fmt::Display) -> Self {
        Self::Limit(Self::limit_text(limit, text), limit)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text, _) | Self::Denied(text) | Self::Limit(text, _) => f.write_str(text),
        }
    }
}

/// The bound of one kind of argument.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    what: &'static str,
    limit: LimitName,
    most: usize,
}

const fn bound(what: &'static str, limit: LimitName, most: usize) -> Bound {
    Bound { what, limit, most }
}

/// A reference to a device, bytes.
pub const DEVICE: Bound = bound("device's name", names::DEVICE_NAME_BYTES, limits::DEVICE_NAME_BYTES);
/// A glob, bytes.
pub const PATTERN: Bound = bound("pattern", names::PATTERN_BYTES, limits::PATTERN_BYTES);
/// A config document, bytes.
pub const CONFIG: Bound = bound("config", names::CONFIG_BYTES, limits::CONFIG_BYTES);
/// A merge patch, bytes.
pub const PATCH: Bound = bound("patch", names::CONFIG_BYTES, limits::CONFIG_BYTES);
/// A command's payload, bytes.
pub const COMMAND: Bound = bound("command", names::COMMAND_BYTES, limits::COMMAND_BYTES);
/// A command's sub-folder, bytes.
pub const SUBFOLDER: Bound = bound("sub-folder", names::SUBFOLDER_BYTES, limits::SUBFOLDER_BYTES);
/// Names and values of a command's properties together, bytes.
pub const PROPERTIES: Bound = bound("properties", names::COMMAND_PROPERTIES, limits::COMMAND_PROPERTY_BYTES);
/// A method's name, bytes.
pub const METHOD_NAME: Bound = bound("method's name", names::METHOD_NAME_BYTES, limits::METHOD_NAME_BYTES);
/// A method's payload, bytes.
pub const METHOD: Bound = bound("method's payload", names::METHOD_BYTES, limits::METHOD_BYTES);
/// A key of the plugin's state, bytes.
pub const KEY: Bound = bound("key", names::KV_KEY_BYTES, limits::KV_KEY_BYTES);
/// A value of the plugin's state, bytes.
pub const VALUE: Bound = bound("value", names::KV_BYTES, limits::KV_BYTES);
/// A timer's name, bytes.
pub const TIMER_NAME: Bound = bound("timer's name", names::TIMER_NAME_BYTES, limits::TIMER_NAME_BYTES);
/// A timer's payload, bytes.
pub const TIMER: Bound = bound("timer's payload", names::TIMER_PAYLOAD_BYTES, limits::TIMER_PAYLOAD_BYTES);
/// A cron expression with its time zone, bytes.
pub const SCHEDULE: Bound = bound("schedule", names::SCHEDULE_BYTES, limits::SCHEDULE_BYTES);
/// A topic, bytes.
pub const TOPIC: Bound = bound("topic", names::TOPIC_BYTES, limits::TOPIC_BYTES);
/// A message's payload, bytes.
pub const MESSAGE: Bound = bound("message", names::MESSAGE_BYTES, limits::TELEMETRY_BYTES);
/// Entries of a list.
pub const LIST: Bound = bound("limit of a list", names::LIST_ENTRIES, limits::LIST_ENTRIES);

/// The size of an argument with its bound.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    bound: Bound,
    size: usize,
}

impl Bound {
    /// `size`: bytes, or entries.
    #[must_use]
    pub const fn sized(self, size: usize) -> Arg {
        Arg { bound: self, size }
    }
}

/// Checks that all arguments are within their bounds. The error names the first that is not.
pub fn check(args: &[Arg]) -> Result<(), Refusal> {
    let Some(Arg { bound: Bound { what, limit, most }, size }) = args.iter().find(|arg| arg.size > arg.bound.most)
    else {
        return Ok(());
    };
    let unit = if *limit == names::LIST_ENTRIES { "entries" } else { "bytes" };
    let text = format!("the {what} has {size} {unit}, at most {most} are allowed");
    Err(Refusal::Invalid(Refusal::limit_text(*limit, text), Some(*limit)))
}

/// The number of entries of a list, of which `LIST` has checked the upper bound.
pub fn list_size(limit: u32) -> Result<usize, Refusal> {
    match limit {
        0 => Err(Refusal::invalid(format!("limit 0 is not between 1 and {}", limits::LIST_ENTRIES))),
        limit => Ok(limit as usize),
    }
}

/// A command's sub-folder becomes the end of a topic name.
pub fn subfolder(subfolder: &str) -> Result<(), Refusal> {
    let rule = if subfolder.contains(['+', '#', '\0']) {
        "must not hold + # or NUL"
    } else if subfolder.starts_with('/') || subfolder.ends_with('/') || subfolder.contains("//") {
        "must not have empty levels"
    } else {
        return Ok(());
    };
    Err(Refusal::invalid(format!("subfolder {subfolder:?} {rule}")))
}

/// How long a command may wait for its device, milliseconds.
pub fn command_ttl(ttl_ms: u64) -> Result<(), Refusal> {
    let most = limits::COMMAND_TTL_MAX_MS;
    if ttl_ms <= most { Ok(()) } else { Err(Refusal::invalid(format!("ttl-ms may be at most {most}"))) }
}

/// The properties of a command, names and values: no protocol of a device carries an empty name or a NUL.
pub fn command_properties<'a>(properties: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> Result<(), Refusal> {
    if properties.len() > limits::COMMAND_PROPERTIES {
        let text = format!("a command has at most {} properties", limits::COMMAND_PROPERTIES);
        let limit = names::COMMAND_PROPERTIES;
        return Err(Refusal::Invalid(Refusal::limit_text(limit, text), Some(limit)));
    }
    let mut properties = properties;
    match properties.find(|(name, value)| !is_property(name, value)) {
        Some((name, _)) => Err(Refusal::invalid(no_property(name))),
        None => Ok(()),
    }
}

/// Whether every protocol of a device can carry the property.
#[must_use]
pub fn is_property(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && !value.contains('\0')
}

/// Says that a property of this name cannot be sent.
#[must_use]
pub fn no_property(name: &str) -> String {
    let short: String = name.chars().take(80).collect();
    format!("the property {short:?} cannot be sent: its name is empty, or there is a NUL in it")
}

/// A method's name becomes one level of a topic and part of an HTTP header. With `*` it is the command of a component of Azure's
/// plug and play; no pattern is matched against it. The error says the rule.
pub fn method_name(name: &str) -> Result<(), Refusal> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_.~*".contains(c);
    let most = limits::METHOD_NAME_BYTES;
    if !name.is_empty() && name.len() <= most && name.chars().all(valid) {
        return Ok(());
    }
    let short: String = name.chars().take(80).collect();
    Err(Refusal::invalid(format!("method name {short:?} must be 1 to {most} letters, digits, - _ . ~ or *")))
}

/// The timeout of a method call, milliseconds. 0 means the default.
pub fn method_timeout_ms(timeout_ms: u32) -> Result<u64, Refusal> {
    match u64::from(timeout_ms) {
        0 => Ok(limits::METHOD_TIMEOUT_MS),
        ms if ms <= limits::METHOD_TIMEOUT_MAX_MS => Ok(ms),
        ms => {
            let most = limits::METHOD_TIMEOUT_MAX_MS;
            Err(Refusal::invalid(format!("a time-out of {ms} ms is more than {most} ms")))
        }
    }
}

/// A key of the plugin's state, of which `KEY` has checked the upper bound.
pub fn key(key: &str) -> Result<(), Refusal> {
    match key {
        "" => Err(Refusal::invalid(format!("a key has 1 to {} bytes, not 0", limits::KV_KEY_BYTES))),
        _ => Ok(()),
    }
}

/// A timer's name, of which `TIMER_NAME` has checked the upper bound.
pub fn timer_name(name: &str) -> Result<(), Refusal> {
    if name.starts_with('$') {
        let text = format!("a timer's name does not begin with $, as {name:?} does: those are the host's");
        return Err(Refusal::invalid(text));
    }
    if name.is_empty() {
        return Err(Refusal::invalid(format!("a timer's name has 1 to {} bytes, not 0", limits::TIMER_NAME_BYTES)));
    }
    Ok(())
}

/// A topic that a plugin publishes on. The host's own topics report what devices did, so plugins may not publish on them.
pub fn topic(topic: &str) -> Result<(), Refusal> {
    let short = || topic.chars().take(80).collect::<String>();
    let rule = if topic.is_empty() {
        "must not be empty"
    } else if topic.len() > limits::TOPIC_BYTES || topic.split('/').count() > limits::TOPIC_LEVELS {
        "is too long: at most 1024 bytes and 128 levels are allowed"
    } else if topic.contains(['+', '#', '\0']) {
        "must not hold + # or NUL"
    } else if is_hosts_own(topic) {
        let text =
            format!("{:?} is a topic of the hub itself: publish on another, or use config, command or method", short());
        return Err(Refusal::Denied(text));
    } else {
        return Ok(());
    };
    Err(Refusal::invalid(format!("topic {:?} {rule}", short())))
}

/// The error of a message with a quality of service that does not exist.
#[must_use]
pub fn no_qos(qos: u8) -> Refusal {
    Refusal::invalid(format!("qos {qos} is not 0, 1 or 2"))
}

/// The end of a limit's text: the line of the plugin's settings file that raises it to `value`, as TOML writes it.
pub fn raised_by(key: &str, value: impl fmt::Display) -> String {
    format!("; {key} = {value} under [limits] of its .toml raises it")
}

/// The same for a number of something in one event, `now`. Empty where a settings file may not say more.
#[must_use]
pub fn count_raised_by(limit: LimitName, now: u32) -> String {
    let most = limits::COUNT_PER_EVENT_MAX;
    if now < most { raised_by(limit.as_str(), most.min(now.saturating_mul(2))) } else { String::new() }
}

/// The error of an event that has as many effects as it may have, `most`.
#[must_use]
pub fn too_many_effects(most: u32) -> Refusal {
    let limit = names::EFFECTS_PER_EVENT;
    Refusal::over(limit, format!("{most} effects{}", count_raised_by(limit, most)))
}

/// The error of a method call with which an event would reach more devices and topics than `most`.
#[must_use]
pub fn too_many_targets(most: u32) -> Refusal {
    Refusal::over(
        names::MAX_TARGETS_PER_EVENT,
        format!(
            "{most} devices and topics for one event, and a method call cannot wait for approval{}",
            raised_by("max-targets-per-event", most.saturating_mul(2))
        ),
    )
}

/// The error of an event that has made as many calls as it may make, `most`.
#[must_use]
pub fn too_many_calls(most: u32) -> Refusal {
    let limit = names::HOST_CALLS;
    Refusal::over(limit, format!("{most} calls for one event{}", count_raised_by(limit, most)))
}

/// The error of a migration that has made as many calls as it may make.
#[must_use]
pub fn too_many_migration_calls() -> Refusal {
    Refusal::over(names::MIGRATION_CALLS, format!("{} calls for one migration", limits::MIGRATION_CALLS))
}

/// The error of a plugin whose state would be too large.
#[must_use]
pub fn state_too_large() -> Refusal {
    Refusal::over(names::KV_BYTES, format!("{} bytes of keys and values", limits::KV_BYTES))
}

/// The error of a plugin with as many timers as it may have.
#[must_use]
pub fn too_many_timers() -> Refusal {
    let text = format!("{} timers of one plugin; cancel some, or set one of the same name anew", limits::TIMERS);
    Refusal::over(names::TIMERS, text)
}

/// The error of a command for the device of this id, for which no more commands may wait.
#[must_use]
pub fn no_room_for_commands(device_id: &str) -> Refusal {
    Refusal::over(names::QUEUED_COMMANDS, format!("no more commands may wait for {device_id}"))
}

/// The error of a list of devices that is too large.
#[must_use]
pub fn list_too_large() -> Refusal {
    let most = limits::LIST_BYTES;
    let text = format!("{most} bytes of devices and their metadata in one list; ask for fewer at a time");
    Refusal::over(names::LIST_BYTES, text)
}

/// The error text for an unknown device.
#[must_use]
pub fn no_device(name: &DeviceName) -> String {
    format!("there is no device {name}")
}

/// What a device subscribes to, to be reached at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    Commands,
    Methods,
}

/// Whether a device can be reached now: with a method call, or with a command that does not wait. The error says why not.
pub fn reachable(
    device_id: impl fmt::Display,
    connected: bool,
    subscribed: bool,
    to: Subscription,
) -> Result<(), String> {
    let what = match to {
        Subscription::Commands => "commands",
        Subscription::Methods => "methods",
    };
    match (subscribed, connected) {
        (true, _) => Ok(()),
        (false, true) => Err(format!("{device_id} does not subscribe to its {what}")),
        (false, false) => Err(format!("{device_id} is not connected")),
    }
}

/// Bytes that a device takes in the guest's memory, roughly: `metadata` are the bytes of name and value of each entry.
pub fn device_weight(id_bytes: usize, registry_bytes: usize, metadata: impl Iterator<Item = usize>) -> usize {
    const ENTRY_BYTES: usize = 64;
    ENTRY_BYTES + 2 * id_bytes + registry_bytes + metadata.map(|bytes| ENTRY_BYTES + bytes).sum::<usize>()
}

/// How often a timer may come.
pub fn timer_period(period_ms: u64) -> Result<(), Refusal> {
    let least = limits::TIMER_MIN_INTERVAL_MS;
    if period_ms >= least {
        return Ok(());
    }
    Err(Refusal::invalid(format!("every {period_ms} ms is too often: a timer may come every {least} ms at most")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subfolder_fits_a_topic() {
        for (text, fits) in
            [("", true), ("a", true), ("a/b", true), ("/a", false), ("a/", false), ("a//b", false), ("a/#", false)]
        {
            assert_eq!(subfolder(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn a_device_is_reached_where_it_subscribes() {
        for (connected, subscribed, error) in [
            (true, true, None),
            (true, false, Some("lamp-1 does not subscribe to its methods")),
            (false, false, Some("lamp-1 is not connected")),
            // A method with an endpoint needs no connection.
            (false, true, None),
        ] {
            let found = reachable("lamp-1", connected, subscribed, Subscription::Methods).err();
            assert_eq!(found.as_deref(), error);
        }
    }

    #[test]
    fn a_method_name_fits_one_level_of_a_topic() {
        let long = "x".repeat(129);
        for (name, fits) in [
            ("dim", true),
            ("a.b-c_d~2", true),
            ("thermostat1*getMaxMinReport", true),
            ("", false),
            ("a/b", false),
            ("a+", false),
            (&long, false),
        ] {
            assert_eq!(method_name(name).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn only_ordinary_topics_are_published_to() {
        let long = "x".repeat(limits::TOPIC_BYTES + 1);
        let deep = "/".repeat(limits::TOPIC_LEVELS);
        for name in ["a", "a/b", "/a", "devices/x", "/devices", "registries", "a/$x", "ä/ö"] {
            assert!(topic(name).is_ok(), "{name}");
        }
        for name in ["", "a/+", "#", "a\0", &long, &deep] {
            assert!(matches!(topic(name), Err(Refusal::Invalid(..))), "{name}");
        }
        for name in ["/devices/lamp-1/config", "/devices/", "registries/r/devices/d/events", "$SYS/x", "$share/a/b"] {
            assert!(matches!(topic(name), Err(Refusal::Denied(_))), "{name}");
        }
    }

    #[test]
    fn the_first_argument_that_is_too_large_is_named_with_its_limit() {
        assert_eq!(check(&[DEVICE.sized(1_100), KEY.sized(256)]), Ok(()));
        let Err(Refusal::Invalid(text, Some(limit))) =
            check(&[DEVICE.sized(3), KEY.sized(257), VALUE.sized(usize::MAX)])
        else {
            panic!("a key of 257 bytes was accepted");
        };
        assert_eq!(limit, names::KV_KEY_BYTES);
        assert!(text.contains("the key has 257 bytes, at most 256 are allowed"), "{text}");
    }
}
