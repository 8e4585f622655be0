//! What the same plugin is made to ask of two hosts: descriptions, events and calls, generated. The large strategies are in boxes: by
//! value they need more stack than the thread of a test has.

use caller::{Asks, Call as GuestCall, When};
use proptest::{collection::vec, option, prelude::*, sample::select};
use switchbox_model::{EventKind, RegistryName, event::FILE_UPLOADED, limits};

/// An event, with the calls that the plugin makes for it if it has a payload.
#[derive(Debug, Clone)]
pub(super) struct Happens {
    pub(super) kind: EventKind,
    /// As a plugin names it; empty for timers and messages.
    pub(super) device: String,
    /// The sub-folder of telemetry, the topic of a message.
    pub(super) part: String,
    pub(super) calls: Vec<GuestCall>,
}

/// Telemetry of `switch-1`.
pub(super) fn telemetry(calls: Vec<GuestCall>) -> Happens {
    Happens { kind: EventKind::Telemetry, device: "switch-1".into(), part: String::new(), calls }
}

/// Small ones, and those around a bound.
fn size(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..40, 1 => select(vec![most, most + 1])]
}

fn long(most: usize) -> impl Strategy<Value = String> {
    select(vec![most, most + 1]).prop_map(|bytes| "k".repeat(bytes))
}

fn device() -> impl Strategy<Value = String> {
    let known = [
        "lamp-1",
        "lamp-2",
        "lamp-3",
        "lamp-9",
        "pump",
        "default/lamp-1",
        "hall/lamp-1",
        "",
        "a//b",
        "-",
        "lamp-1/x/y",
    ];
    let full = format!("{}/devices/lamp-2", RegistryName::default_registry());
    prop_oneof![
        6 => Just("lamp-1".to_owned()),
        6 => select(known.map(str::to_owned).to_vec()),
        1 => Just(full),
        1 => long(limits::DEVICE_NAME_BYTES),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(["a", "b", "ab", "", "ä"].map(str::to_owned).to_vec()),
        1 => long(limits::KV_KEY_BYTES),
    ]
}

fn version() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.5, 0_u64..4)
}

fn text(choices: &[&str]) -> impl Strategy<Value = String> + use<> {
    select(choices.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}

fn when() -> impl Strategy<Value = When> {
    let late = select(vec![0, 99, 100, 5_000, u64::MAX]);
    prop_oneof![
        late.clone().prop_map(When::After),
        late.clone().prop_map(When::At),
        late.prop_map(When::Every),
        (text(&["30 2 * * *", "* * * *", "0 0 30 2 *", ""]), text(&["Europe/Berlin", "UTC", "Nowhere"]))
            .prop_map(|(expression, zone)| When::Cron(expression, zone)),
    ]
}

fn properties() -> impl Strategy<Value = Vec<(String, String)>> {
    let pairs = vec((text(&["tone", "$content-type", "", "a\0"]), text(&["high", "\0", ""])), 0..3);
    prop_oneof![
        4 => pairs,
        1 => Just(vec![("n".to_owned(), "v".to_owned()); limits::COMMAND_PROPERTIES + 1]),
        1 => Just(vec![("n".to_owned(), "v".repeat(limits::COMMAND_PROPERTY_BYTES))]),
    ]
}

fn reading() -> BoxedStrategy<GuestCall> {
    prop_oneof![
        device().prop_map(GuestCall::Device),
        prop_oneof![text(&["*", "lamp-*", "[", "pump", "**"]), long(limits::PATTERN_BYTES)]
            .prop_map(GuestCall::Devices),
        device().prop_map(GuestCall::Config),
        device().prop_map(GuestCall::Twin),
        key().prop_map(GuestCall::State),
        (key(), option::of(key()), select(vec![0, 1, 2, 1_000, 1_001]))
            .prop_map(|(prefix, after, limit)| GuestCall::Keys { prefix, after, limit }),
    ]
    .boxed()
}

fn to_devices() -> BoxedStrategy<GuestCall> {
    let patches = text(&[r#"{"on":true}"#, r#"{"on":null}"#, "{}", "[]", "3", r#"{"deep":{"a":[1,2.50]}}"#]);
    prop_oneof![
        (device(), size(limits::CONFIG_BYTES), version()).prop_map(|(device, bytes, expected)| GuestCall::SetConfig {
            device,
            bytes,
            expected
        }),
        (device(), patches, version()).prop_map(|(device, patch, expected)| GuestCall::Patch {
            device,
            patch,
            expected
        }),
        (
            device(),
            size(limits::COMMAND_BYTES),
            prop_oneof![text(&["", "bell", "a/b", "/a", "a//b", "a/#"]), long(limits::SUBFOLDER_BYTES)],
            select(vec![0, 1, limits::COMMAND_TTL_MAX_MS, limits::COMMAND_TTL_MAX_MS + 1]),
            option::of(properties()),
        )
            .prop_map(|(device, bytes, subfolder, ttl_ms, properties)| GuestCall::Command {
                device,
                bytes,
                subfolder,
                ttl_ms,
                properties
            }),
        (
            prop_oneof![
                3 => Just("lamp-1".to_owned()),
                1 => text(&["lamp-2", "lamp-3", "lamp-9", "pump", "hall/lamp-1", ""])
            ],
            prop_oneof![3 => Just("dim".to_owned()), 1 => text(&["", "a/b"]), 1 => long(limits::METHOD_NAME_BYTES)],
            size(limits::METHOD_BYTES),
            select(vec![1, 300_000, 300_001, u64::MAX]),
        )
            // A method without an answer fails in its own way on each host.
            .prop_filter("a method without an answer", |(device, name, ..)| name != &"k".repeat(128)
                || !["lamp-1", "pump", "hall/lamp-1"].contains(&device.as_str()))
            .prop_map(|(device, name, bytes, timeout_ms)| GuestCall::Method {
                device,
                name,
                bytes,
                timeout_ms
            }),
    ]
    .boxed()
}

fn to_itself() -> BoxedStrategy<GuestCall> {
    let name = || prop_oneof![4 => text(&["t", "u", "", "$start"]), 1 => long(limits::TIMER_NAME_BYTES)];
    let topic = prop_oneof![
        text(&["alerts/a", "other", "", "alerts/#", "$SYS/x", "/devices/lamp-1/config", "alerts/\0"]),
        long(limits::TOPIC_BYTES),
    ];
    prop_oneof![
        (key(), size(limits::KV_BYTES / 2), version()).prop_map(|(key, bytes, revision)| GuestCall::SetState {
            key,
            bytes,
            revision
        }),
        key().prop_map(GuestCall::DeleteState),
        (name(), when(), size(limits::TIMER_PAYLOAD_BYTES)).prop_map(|(name, when, bytes)| GuestCall::SetTimer {
            name,
            when,
            bytes
        }),
        name().prop_map(GuestCall::CancelTimer),
        (0_u32..4, select(vec![10, 5_000])).prop_map(|(lines, bytes)| GuestCall::Log { lines, bytes }),
        (topic, size(limits::TELEMETRY_BYTES), 0_u8..4).prop_map(|(topic, bytes, qos)| GuestCall::Publish {
            topic,
            bytes,
            qos
        }),
    ]
    .boxed()
}

pub(super) fn calls() -> BoxedStrategy<Vec<GuestCall>> {
    let one = prop_oneof![reading(), to_devices(), to_itself()];
    let many = (prop_oneof![reading(), to_devices(), to_itself()], select(vec![65_usize, 100]));
    let some = (vec(one, 1..12), option::weighted(0.1, select(vec![10_usize, 5_000])));
    prop_oneof![
        // Some of them fail at the end, and leave nothing.
        6 => some.prop_map(|(calls, fails)| calls.into_iter().chain(fails.map(GuestCall::Reject)).collect()),
        // More effects than one event may have.
        1 => many.prop_map(|(call, times)| vec![call; times]),
    ]
    .boxed()
}

/// Mostly patterns that a host takes.
fn glob() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => text(&["*", "lamp-*", "switch-*", "{lamp,pump}*", "hall/*", "*/*", "**", "projects/**/lamp-1"]),
        1 => text(&["[", "lamp-[", "{a"]),
    ]
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => text(&["#", "alerts/#", "alerts/+", "+/a", "other", "$SYS/#"]),
        1 => text(&["*", "", "a/#/b", "a+", "$share/g/alerts/a"]),
    ]
}

fn trigger() -> impl Strategy<Value = (String, String, Option<String>)> {
    let subfolder = prop_oneof![
        8 => text(&["", "*", "**", "a/*", "a/#", "{a,b}/1", FILE_UPLOADED]),
        1 => text(&["[", "a/{"]),
    ];
    let kinds = ["state", "connected", "disconnected", "command-settled", "timer"];
    prop_oneof![
        3 => (glob(), option::of(subfolder)).prop_map(|(device, part)| ("telemetry".to_owned(), device, part)),
        2 => (text(&kinds), glob()).prop_map(|(kind, device)| (kind, device, None)),
        1 => filter().prop_map(|filter| ("topic".to_owned(), filter, None)),
    ]
}

fn grant() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        4 => (text(&["config", "command", "method", "read"]), glob()),
        1 => (Just("publish".to_owned()), filter()),
    ]
}

/// What a plugin says of itself: the usual, or anything.
pub(super) fn asks() -> BoxedStrategy<Asks> {
    let triggers = prop_oneof![8 => vec(trigger(), 0..6), 1 => vec(trigger(), limits::TRIGGERS..limits::TRIGGERS + 2)];
    let grants = prop_oneof![3 => Just(Asks::default().grants), 2 => vec(grant(), 0..8)];
    let any = (triggers, grants, calls()).prop_map(|(triggers, grants, calls)| Asks { triggers, grants, calls });
    let fit = |asks: &Asks| serde_json::to_vec(asks).is_ok_and(|text| text.len() <= limits::SETTINGS_BYTES);
    let fitting = any.prop_filter("the plugin's settings hold it", fit);
    prop_oneof![1 => Just(Asks::default()), 3 => fitting].boxed()
}

/// An event of any kind, of a device in one of two registries.
pub(super) fn happens() -> BoxedStrategy<Happens> {
    let of_device = prop_oneof![
        4 => text(&["", "a", "a/1", "b/1", "a/1/2", FILE_UPLOADED]).prop_map(|part| (EventKind::Telemetry, part)),
        4 => select(vec![
            EventKind::State,
            EventKind::Connected,
            EventKind::Disconnected,
            EventKind::CommandSettled,
        ])
        .prop_map(|kind| (kind, String::new())),
    ];
    let device = text(&["switch-1", "hall/switch-2", "lamp-1"]);
    let without = prop_oneof![
        Just((EventKind::Timer, String::new())),
        text(&["alerts/a", "alerts", "other", "a/b", "$SYS/broker/load"]).prop_map(|topic| (EventKind::Topic, topic)),
    ];
    let from = prop_oneof![4 => (of_device, device), 1 => (without, Just(String::new()))];
    (from, calls()).prop_map(|(((kind, part), device), calls)| Happens { kind, device, part, calls }).boxed()
}
