//! What a trap costs: its event and its instance, nothing else.

use switchbox_plugin_runtime::{Limits, Verdict};

use super::world::{World, ask, start};

#[tokio::test]
async fn retry_and_reject_keep_the_instance_and_drop_the_effects() {
    let mut instance = start(World::new(), Limits::default()).await;
    for (attack, verdict) in [
        ("retry", Verdict::Retry("later".into())),
        ("reject", Verdict::Reject("not mine".into())),
        ("nothing", Verdict::Done),
    ] {
        let execution = ask(&mut instance, attack).await;
        assert_eq!(execution.verdict, verdict);
        assert!(execution.effects.is_empty());
        assert!(!instance.poisoned());
    }
}

#[tokio::test]
async fn nothing_is_carried_from_one_event_to_the_next() {
    let mut instance = start(World::new(), Limits::default()).await;
    let first = ask(&mut instance, "effects 100").await;
    assert_eq!(first.limits_hit, ["effects-per-event"]);
    let second = ask(&mut instance, "set lamp-1").await;
    assert_eq!((second.effects.len(), second.logs.len(), second.limits_hit.len()), (2, 0, 0));
}

#[tokio::test]
async fn traps_in_many_instances_leave_no_slot_taken() {
    for _ in 0..50 {
        let mut instance = start(World::new(), Limits::default()).await;
        assert!(matches!(ask(&mut instance, "panic").await.verdict, Verdict::GuestFailed(_)));
    }
}
