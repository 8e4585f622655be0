//! Tests of timers that are due while a plugin does not run.

use super::*;

fn doc(plugin: &PluginName, name: &str, schedule: Schedule) -> TimerDoc {
    let timer = Timer { name: name.into(), schedule, payload: "x".into(), due_ms: 10 };
    TimerDoc { plugin: plugin.clone(), timer, by: None }
}

fn names(fired: Vec<(EventData, Option<EffectKey>)>) -> Vec<String> {
    let name = |(data, _)| match data {
        EventData::Timer { name, .. } => name,
        other => panic!("{other:?}"),
    };
    fired.into_iter().map(name).collect()
}

#[tokio::test]
async fn what_fired_and_was_not_handled_when_the_plugin_went_off_fires_again() {
    let (timers, plugin) = (Handle::default(), PluginName::new("alert").unwrap());
    let every = Schedule::Every { period_ms: 1_000 };
    let docs =
        [doc(&plugin, "done", Schedule::Once), doc(&plugin, "lost", Schedule::Once), doc(&plugin, "every", every)];
    timers.load(&docs);
    assert_eq!(names(timers.lock(&plugin).await.take(20, 9)), [""; 0], "it does not run yet");
    timers.resume(&plugin);
    assert_eq!(names(timers.lock(&plugin).await.take(20, 9)), ["done", "every", "lost"]);
    timers.record_handled(&plugin, "done");
    let held = timers.lock(&plugin).await;
    held.pause();
    let mut unhandled = held.unhandled();
    unhandled.sort_by(|one, other| one.timer.name.cmp(&other.timer.name));
    assert_eq!(unhandled.iter().map(|again| again.timer.name.as_str()).collect::<Vec<_>>(), ["every", "lost"]);
    held.set_due_again(unhandled);
    assert_eq!(names(held.take(20, 9)), [""; 0], "it is off");
    drop(held);
    assert_eq!(timers.count(&plugin), 2);
    timers.resume(&plugin);
    assert_eq!(names(timers.lock(&plugin).await.take(20, 9)), ["every", "lost"]);
    timers.record_handled(&plugin, "every");
    timers.record_handled(&plugin, "lost");
    assert_eq!(timers.lock(&plugin).await.unhandled(), []);
    assert_eq!(timers.next_due_of(&plugin), Some(1_010), "the schedule continues as before");
}
