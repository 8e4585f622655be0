//! Arguments of every size and shape for every call of the host: a typed error or success, in bounded time, and never a panic.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use switchbox_model::limits::{GUEST_CALL_BYTES, GUEST_TEXT_BYTES};
use switchbox_plugin_runtime::{Instance, Limits, Verdict};

use super::world::{World, ask, report, start};

/// Every call with every argument of it, and the argument's bound; with `#`, the argument is a number.
const ARGUMENTS: [(&str, u64); 38] = [
    ("registry.get", 1_100),
    ("registry.list-pattern", 1_100),
    ("registry.list-after", 1_100),
    ("registry.list-limit#", 1_000),
    ("config.get", 1_100),
    ("config.set-device", 1_100),
    ("config.set-payload", 65_536),
    ("config.set-expected#", u64::MAX),
    ("command.send-device", 1_100),
    ("command.send-payload", 262_144),
    ("command.send-subfolder", 256),
    ("command.send-with-properties", 16_384),
    ("command.send-ttl#", 2_592_000_000),
    ("method.call-device", 1_100),
    ("method.call-name", 128),
    ("method.call-payload", 262_144),
    ("method.call-timeout#", 300_000),
    ("twin.get", 1_100),
    ("twin.patch-device", 1_100),
    ("twin.patch", 65_536),
    ("state.get", 256),
    ("state.set-key", 256),
    ("state.set-value", 1_048_576),
    ("state.delete", 256),
    ("state.keys-prefix", 256),
    ("state.keys-after", 256),
    ("state.keys-limit#", 1_000),
    ("timer.set-name", 256),
    ("timer.set-payload", 4_096),
    ("timer.set-after#", 253_402_214_400_000),
    ("timer.set-at#", 253_402_214_400_000),
    ("timer.set-every#", 253_402_214_400_000),
    ("timer.set-cron", 512),
    ("timer.set-zone", 512),
    ("timer.cancel", 256),
    ("topic.publish-topic", 1_024),
    ("topic.publish-payload", 262_144),
    ("log.write", u64::MAX),
];

/// What a text is made of.
const UNITS: [&str; 21] = [
    "x", "?", "*", "**/", "/", "{", "{a,", "[", "[a-", "[!", "\\", "#", "+/", "$", "\"", "{\"a\":", "é", "\0", "* ",
    "1,", "ÿ😀",
];

/// No call takes longer, on the busiest machine.
const LONGEST: Duration = Duration::from_secs(5);
/// More than any bound, and less than all arguments of a call may have.
const HUGE: [u64; 2] = [1_000_000, 3_900_000];

async fn unhurried() -> Instance {
    let limits = Limits { deadline: Duration::from_secs(30), ..Limits::default() };
    start(World::new(), limits).await
}

/// Returns `None` if all is well.
async fn wrong(instance: &mut Instance, call: &str, size: u64, unit: &str) -> Option<String> {
    let began = Instant::now();
    let execution = ask(instance, &format!("argue {call} {size} {unit}")).await;
    let took = began.elapsed();
    if execution.verdict != Verdict::Done {
        return Some(format!("{:?}", execution.verdict));
    }
    let answer = report(&execution);
    let typed = answer == "Ok" || answer.starts_with("Error::");
    let logs: usize = execution.logs.iter().map(String::len).sum();
    (!typed || took > LONGEST || logs > 2 * GUEST_TEXT_BYTES)
        .then(|| format!("{answer} after {took:?}, {logs} bytes of logs"))
}

#[test]
fn arguments_of_every_size_and_shape_get_a_typed_answer_in_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let instance = RefCell::new(runtime.block_on(unhurried()));
    let sizes = |bound: u64| {
        let mut sizes = vec![0, 1, bound.saturating_sub(1), bound, bound.saturating_add(1)];
        sizes.extend(HUGE);
        sizes
    };
    let cases = select(&ARGUMENTS[..]).prop_flat_map(move |(call, bound)| {
        let sizes =
            if call.ends_with('#') || bound < 10_000_000 { sizes(bound) } else { sizes(GUEST_TEXT_BYTES as u64) };
        let any = if call.ends_with('#') { (0..=u64::MAX).boxed() } else { (0..2_000_000_u64).boxed() };
        (Just(call), prop_oneof![4 => select(sizes), 1 => any], select(&UNITS[..]))
    });
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&cases, |(call, size, unit)| {
        let mut instance = instance.borrow_mut();
        let found = runtime.block_on(wrong(&mut instance, call, size, unit));
        if instance.poisoned() {
            *instance = runtime.block_on(unhurried());
        }
        found.map_or(Ok(()), |text| Err(TestCaseError::fail(format!("{call} {size} {unit:?}: {text}"))))
    });
    result.unwrap();
}

/// The property above meets each by chance; this one meets each.
#[tokio::test]
async fn what_is_larger_than_its_bound_is_refused_by_the_bounds_name() {
    let mut instance = unhurried().await;
    for (call, limit) in [
        ("registry.get", "device-name-bytes"),
        ("registry.list-pattern", "pattern-bytes"),
        ("registry.list-after", "device-name-bytes"),
        ("config.set-device", "device-name-bytes"),
        ("config.set-payload", "config-bytes"),
        ("command.send-payload", "command-bytes"),
        ("command.send-subfolder", "subfolder-bytes"),
        ("command.send-with-properties", "command-properties"),
        ("method.call-name", "method-name-bytes"),
        ("method.call-payload", "method-bytes"),
        ("twin.patch", "config-bytes"),
        ("state.get", "kv-key-bytes"),
        ("state.set-value", "kv-bytes"),
        ("state.keys-prefix", "kv-key-bytes"),
        ("timer.set-name", "timer-name-bytes"),
        ("timer.set-payload", "timer-payload-bytes"),
        ("timer.set-cron", "schedule-bytes"),
        ("timer.set-zone", "schedule-bytes"),
        ("topic.publish-topic", "topic-bytes"),
        ("topic.publish-payload", "message-bytes"),
        ("registry.list-limit#", "list-entries"),
    ] {
        let execution = ask(&mut instance, &format!("argue {call} 8000000 ?")).await;
        let answer = report(&execution);
        assert!(answer.contains("Invalid") && answer.contains(limit), "{call}: {answer}");
        assert_eq!(execution.limits_hit, [limit], "{call}");
    }
    let execution = ask(&mut instance, "argue log.write 8000000 ?").await;
    assert_eq!(execution.limits_hit, ["output"]);
}

#[tokio::test]
async fn more_than_all_arguments_of_a_call_may_have_ends_the_call() {
    let memory = switchbox_plugin_runtime::limits::Size(200 << 20);
    let limits = Limits { deadline: Duration::from_secs(30), memory, ..Limits::default() };
    let mut instance = start(World::new(), limits).await;
    let size = GUEST_CALL_BYTES + 1;
    let execution = ask(&mut instance, &format!("argue registry.get {size} x")).await;
    assert_eq!(execution.limits_hit, ["call-bytes"], "{:?}", execution.verdict);
}

#[tokio::test]
async fn a_text_of_the_guests_is_cut_where_it_comes_in() {
    let mut instance = unhurried().await;
    let execution = ask(&mut instance, "reject-bytes 12000000").await;
    let Verdict::Reject(text) = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert!(
        text.len() < GUEST_TEXT_BYTES + 64 && text.ends_with("(cut: it had 12000000 bytes)"),
        "{} bytes",
        text.len()
    );
    assert_eq!(execution.limits_hit, ["text-bytes"]);
}

/// A defect of the host ends the execution of the plugin's event, and affects no other plugin.
#[tokio::test]
async fn a_panic_of_the_host_in_a_call_ends_the_call_alone() {
    let panicking = || {
        let mut world = World::new();
        world.panics = true;
        world
    };
    let mut instance = start(panicking(), Limits::default()).await;
    let execution = ask(&mut instance, "read lamp-1").await;
    let Verdict::HostPanicked(text) = execution.verdict else { panic!("{:?}", execution.verdict) };
    assert!(text.contains("as the test asked") && instance.poisoned(), "{text}");
    let mut setup = (*super::world::setup(Limits::default(), None).await).clone();
    setup.settings = r#"{"start":"read"}"#.into();
    let started = super::world::hostile().await.start(setup.into(), std::sync::Arc::new(panicking())).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("panicked in start"), "{error}");
}
