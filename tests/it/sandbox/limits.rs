//! Each bound ends what it should, and only that.

use std::time::{Duration, Instant};

use switchbox_plugin_runtime::{Limits, Verdict, limits::Size};

use super::world::{World, alone, ask, report, start};

fn failed(verdict: &Verdict) -> &str {
    let Verdict::GuestFailed(text) = verdict else { panic!("{verdict:?}") };
    text
}

#[tokio::test]
async fn what_cannot_go_on_is_ended_and_named() {
    for (attack, limit, words) in [
        ("loop", Some("deadline"), "longer than 1s; deadline = \"2s\" under [limits] of its .toml raises it"),
        ("allocate", Some("memory"), "32MiB are allowed; memory = \"64MiB\" under [limits] of its .toml raises it"),
        ("recurse", Some("stack"), "too deep"),
        ("sleep 100000", Some("deadline"), "longer than 1s"),
        ("panic", None, "out of cheese"),
        ("trap", None, "unreachable"),
        ("exit", None, "exit(1)"),
    ] {
        // Long enough for a slow machine to hand out 32 MiB.
        let limits = Limits { deadline: Duration::from_secs(1), ..Limits::default() };
        let mut instance = start(World::new(), limits).await;
        let execution = ask(&mut instance, attack).await;
        let text = failed(&execution.verdict);
        assert!(text.contains(words), "{attack}: {text}");
        if let Some(limit) = limit {
            assert!(text.contains(&format!("\"{limit}\"")), "{attack}: {text}");
        }
        assert_eq!(execution.limits_hit, Vec::from_iter(limit), "{attack}");
        assert!(execution.effects.is_empty() && execution.kv.is_empty());
        assert!(instance.poisoned(), "{attack}");
        let again = ask(&mut instance, "nothing").await;
        assert!(failed(&again.verdict).contains("after it failed"));
    }
}

#[tokio::test]
async fn an_endless_loop_ends_in_time() {
    let deadline = Duration::from_millis(50);
    let mut took = Duration::MAX;
    // A busy machine may take the thread away for longer than the 10 ms that are promised; not five times in a row.
    for _ in 0..5 {
        let mut instance = start(World::new(), Limits { deadline, ..Limits::default() }).await;
        let began = Instant::now();
        let execution = ask(&mut instance, "loop").await;
        took = took.min(began.elapsed());
        assert_eq!(execution.limits_hit, ["deadline"]);
        assert!(execution.guest_time >= deadline, "{execution:?}");
    }
    assert!(took < deadline + Duration::from_millis(10), "{took:?}");
}

#[tokio::test]
async fn an_endless_loop_delays_no_other_plugin() {
    let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
    let mut looping = start(World::new(), limits).await;
    let mut other = start(World::new(), Limits::default()).await;
    // With one thread, the other guest runs only because the loop yields at every tick.
    let began = Instant::now();
    let looped = async {
        let execution = ask(&mut looping, "loop").await;
        (execution, began.elapsed())
    };
    let worked = async {
        assert_eq!(ask(&mut other, "nothing").await.verdict, Verdict::Done);
        began.elapsed()
    };
    let ((execution, ended), worked) = tokio::join!(looped, worked);
    assert_eq!(execution.limits_hit, ["deadline"]);
    assert!(worked < ended, "the other waited {worked:?}, the loop took {ended:?}");
}

#[tokio::test]
async fn what_exceeds_a_limit_is_refused_and_the_guest_continues() {
    for (attack, limit, words) in [
        ("print 1000", "log-lines", "the rest is dropped"),
        ("log 1000", "log-lines", "the rest is dropped; log-lines = 512 under [limits] of its .toml raises it"),
        (
            "print-bytes 100000",
            "output",
            "the rest is dropped; output = \"128KiB\" under [limits] of its .toml raises it",
        ),
        (
            "host-calls 2000",
            "host-calls",
            "1000 calls for one event; host-calls = 2000 under [limits] of its .toml raises it",
        ),
        (
            "effects 100",
            "effects-per-event",
            "64 effects; effects-per-event = 128 under [limits] of its .toml raises it",
        ),
        ("kv-flood", "kv-bytes", ""),
    ] {
        let execution = alone(World::new(), attack).await;
        assert_eq!(execution.verdict, Verdict::Done, "{attack}");
        assert_eq!(execution.limits_hit, [limit], "{attack}");
        assert!(execution.logs.iter().any(|line| line.contains(words)) || words.is_empty(), "{:?}", execution.logs);
        assert!(execution.effects.len() <= 64);
        assert!(execution.logs.len() <= 257);
    }
}

#[tokio::test]
async fn a_config_that_is_too_large_is_invalid() {
    let execution = alone(World::new(), "huge 65537").await;
    assert!(report(&execution).contains("65537 bytes, at most 65536"), "{}", report(&execution));
    assert!(report(&alone(World::new(), "huge 65536").await).starts_with("Ok"));
}

#[tokio::test]
async fn waiting_for_a_device_is_bounded_and_not_the_guests_time() {
    let mut world = World::new();
    world.answers_after = None;
    let limits = Limits { host_call_time: Duration::from_millis(200), ..Limits::default() };
    let mut instance = start(world, limits).await;
    let execution = ask(&mut instance, "method lamp-1").await;
    assert!(report(&execution).contains("host-call-time"), "{}", report(&execution));
    assert_eq!(execution.limits_hit, ["host-call-time"]);
    assert!(execution.awaited >= Duration::from_millis(200) && execution.guest_time < Duration::from_millis(100));
    assert!(!instance.poisoned());
}

/// Whatever the event waits for, the message has the line that lets it wait longer.
#[tokio::test]
async fn waiting_that_takes_too_long_says_which_line_gives_more_time() {
    let line = "; host-call-time = \"400ms\" under [limits] of its .toml raises it";
    for attack in ["method lamp-1", "twin"] {
        let world = World { answers_after: None, no_twins: true, ..World::new() };
        let limits = Limits { host_call_time: Duration::from_millis(200), ..Limits::default() };
        let execution = ask(&mut start(world, limits).await, attack).await;
        let text = report(&execution).replace("\\\"", "\"");
        assert!(text.contains("200ms of waiting for devices") && text.contains(line), "{attack}: {text}");
        assert_eq!(execution.limits_hit, ["host-call-time"], "{attack}");
    }
}

#[tokio::test]
async fn a_small_memory_bound_holds_from_the_start() {
    let limits = Limits { memory: Size(1024 * 1024), ..Limits::default() };
    let setup = super::world::setup(limits, None).await;
    let started = super::world::hostile().await.start(setup, std::sync::Arc::new(World::new())).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("\"memory\"") && error.contains("1MiB"), "{error}");
}

#[tokio::test]
async fn a_short_sleep_passes_on_the_guests_own_clock() {
    let execution = alone(World::new(), "sleep 20").await;
    assert_eq!(report(&execution), "20");
    assert!(execution.awaited >= Duration::from_millis(20), "{execution:?}");
}

#[tokio::test]
async fn an_instance_whose_call_was_dropped_is_poisoned() {
    let mut instance = start(World::new(), Limits::default()).await;
    let cut = tokio::time::timeout(Duration::from_millis(5), ask(&mut instance, "sleep 80")).await;
    assert!(cut.is_err());
    assert!(instance.poisoned());
}
