//! Which executions were refused.

use super::*;
use switchbox_model::{Event, EventData};

#[test]
fn what_was_done_and_tried_again_was_refused() {
    let handled = |plugin: &str, attempt, outcome| Handled {
        plugin: PluginName::new(plugin).unwrap(),
        digest: "sha256:ab".into(),
        seq: Seq(42),
        attempt,
        time_ms: 1,
        took_us: 1,
        logs: Vec::new(),
        outcome,
    };
    let done = || Outcome::Done { effects: Vec::new() };
    let event = Event { seq: Seq(42), time_ms: 1, device: None, durable: true, data: EventData::Connected };
    let dead = || Outcome::Dead { error: "no JSON".into(), event: Box::new(event.clone()) };
    for (rule, first, later, expect) in [
        ("it stands", done(), vec![], false),
        ("tried again", done(), vec![handled("wake", 2, done())], true),
        ("tried again in vain", done(), vec![handled("wake", 2, dead())], true),
        ("another plugin's try", done(), vec![handled("relay", 2, done())], false),
        ("a dead letter that was driven again", dead(), vec![handled("wake", 1, done())], false),
    ] {
        assert_eq!(was_refused(&handled("wake", 1, first), &later), expect, "{rule}");
    }
}
