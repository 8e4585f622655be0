//! Which events reach a plugin: those that its triggers match, and its own timers.

use switchbox_model::{EventData, timer};
use switchbox_rules::trigger::Triggers;

/// Whether a plugin with these triggers gets the event. It gets the timers that it set, whatever its triggers are. `device`: the id of
/// the event's device; empty if it has none.
#[must_use]
pub fn reaches(triggers: &Triggers, data: &EventData, device: &str) -> bool {
    match data {
        EventData::Timer { name, .. } => name != timer::START || triggers.sees_timers(),
        _ => triggers.match_event(data.trigger_input(device)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use switchbox_model::EventKind;
    use switchbox_rules::trigger::Trigger;

    #[test]
    fn a_plugin_gets_its_own_timers_and_the_first_one_only_if_it_sees_timers() {
        let triggers = |event| Triggers::new(&[Trigger { event, device: "*".into(), subfolder: None }]).unwrap();
        let timer = |name: &str| EventData::Timer {
            plugin: "night".into(),
            name: name.into(),
            payload: Bytes::new(),
            due_ms: 0,
            late: false,
        };
        for (event, name, expected) in [
            (EventKind::Timer, timer::START, true),
            (EventKind::State, timer::START, false),
            (EventKind::State, "off", true),
        ] {
            assert_eq!(reaches(&triggers(event), &timer(name), ""), expected, "{event:?} {name}");
        }
    }
}
