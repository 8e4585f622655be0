//! What the demo's devices have shown so far, and whether that is what was promised. Pure.

use std::time::{Duration, Instant};

use super::{
    printer::{hops, state},
    virtual_device::{Seen, What},
};

/// So many hops without a fault are a relay that works.
const ENOUGH_HOPS: u64 = 10;

/// What is being played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chapter {
    LampSleeps,
    LampLeaves,
    SwitchSays,
    LampReturns,
}

/// How one scenario ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) scenario: &'static str,
    pub(super) worked: bool,
    pub(super) text: String,
}

#[derive(Debug, Default)]
pub(super) struct Story {
    hop_there: bool,
    switch_there: bool,
    lamp_there: bool,
    /// Round trips of hop-1.
    rounds: u64,
    /// What hop-1 sent last and waits for.
    sent: Option<u64>,
    /// hop-1 has connected and sent nothing yet: the config in force may come, whatever it is.
    old_may_come: bool,
    /// Configs of hop-1 that were not one hop more than what it sent.
    wrong: u64,
    lamp: Option<String>,
    chapter: Option<Chapter>,
    lamp_connected: Option<Instant>,
    woke: Option<Duration>,
    wakes: u64,
    failure: Option<String>,
}

impl Story {
    pub(super) fn begin(&mut self, chapter: Chapter) {
        self.chapter = Some(chapter);
        match chapter {
            // What it was before says nothing of what it is told now.
            Chapter::LampSleeps | Chapter::LampReturns => self.lamp = None,
            Chapter::LampLeaves | Chapter::SwitchSays => {}
        }
        self.woke = None;
    }

    pub(super) fn note(&mut self, seen: &Seen, now: Instant) {
        match (seen.device.as_str(), &seen.what) {
            ("hop-1", what) => self.note_hop(what),
            ("switch-1", What::Connected) => self.switch_there = true,
            ("switch-1", What::Offline { .. }) => self.switch_there = false,
            ("lamp-1", what) => self.note_lamp(what, now),
            _ => {}
        }
    }

    fn note_hop(&mut self, what: &What) {
        match what {
            What::Subscribed { .. } => self.hop_there = true,
            What::Connected => self.old_may_come = true,
            What::Sent { payload, .. } => {
                self.sent = hops(payload);
                self.old_may_come = false;
            }
            What::Received { payload, .. } => match (self.sent.take(), hops(payload)) {
                (Some(sent), Some(received)) if received == sent + 1 => self.rounds += 1,
                (None, Some(_)) if self.old_may_come => {}
                _ => self.wrong += 1,
            },
            // What was under way then may come back or not.
            What::Offline { .. } => self.sent = None,
            _ => {}
        }
    }

    fn note_lamp(&mut self, what: &What, now: Instant) {
        match what {
            What::Connected => self.lamp_connected = Some(now),
            What::Subscribed { .. } => self.lamp_there = true,
            What::Left | What::Offline { .. } => self.lamp_there = false,
            What::Received { payload, .. } => {
                self.lamp = state(payload);
                let returns = self.chapter == Some(Chapter::LampReturns);
                if returns && self.woke.is_none() && self.lamp_is("awake") {
                    self.woke = self.lamp_connected.map(|since| now.saturating_duration_since(since));
                    self.wakes += 1;
                }
            }
            _ => {}
        }
    }

    pub(super) fn all_there(&self) -> bool {
        self.hop_there && self.switch_there && self.lamp_there
    }

    pub(super) fn hops_worked(&self) -> bool {
        self.rounds >= ENOUGH_HOPS
    }

    pub(super) fn lamp_is(&self, state: &str) -> bool {
        self.lamp.as_deref() == Some(state)
    }

    pub(super) fn lamp_is_there(&self) -> bool {
        self.lamp_there
    }

    /// How long after it connected the lamp woke, in this round.
    pub(super) fn woke(&self) -> Option<Duration> {
        self.woke
    }

    /// Only the first reason counts.
    pub(super) fn fail(&mut self, why: &str) {
        self.failure.get_or_insert_with(|| why.to_owned());
    }

    pub(super) fn verdicts(&self, took: Duration) -> [Verdict; 2] {
        let rate = self.rounds as f64 / took.as_secs_f64().max(0.001);
        let hop = format!("hop-1 went round {} times, {rate:.0} a second", self.rounds);
        let hop = if self.wrong > 0 { format!("{hop}; {} configs were not one hop more", self.wrong) } else { hop };
        let hop_worked = self.hops_worked() && self.wrong == 0;
        let wakes_worked = self.wakes > 0 && self.failure.is_none();
        let times = if self.wakes == 1 { "once".to_owned() } else { format!("{} times", self.wakes) };
        let wakes = format!("lamp-1 was offline when switch-1 said awake, and woke when it came back, {times}");
        let why = |worked: bool, text: String| match &self.failure {
            Some(failure) if !worked => failure.clone(),
            None if !worked && self.wakes == 0 => format!("{text} (not long enough to tell)"),
            _ => text,
        };
        [
            Verdict { scenario: "hop relay", worked: hop_worked, text: why(hop_worked, hop) },
            Verdict { scenario: "switch wakes", worked: wakes_worked, text: why(wakes_worked, wakes) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: String) -> bytes::Bytes {
        text.into()
    }

    fn note(story: &mut Story, device: &str, what: What, now: Instant) {
        story.note(&Seen { device: device.to_owned(), what }, now);
    }

    fn hop(story: &mut Story, sent: Option<u64>, received: Option<u64>) {
        let topic = String::new();
        let record = |hops| payload(format!("{{\"hops\":{hops}}}"));
        if let Some(hops) = sent {
            note(story, "hop-1", What::Sent { topic: topic.clone(), payload: record(hops) }, Instant::now());
        }
        if let Some(hops) = received {
            note(story, "hop-1", What::Received { topic, payload: record(hops) }, Instant::now());
        }
    }

    fn lamp(story: &mut Story, state: &str, now: Instant) {
        let payload = payload(format!("{{\"state\":\"{state}\"}}"));
        note(story, "lamp-1", What::Received { topic: String::new(), payload }, now);
    }

    fn worked(story: &Story) -> [bool; 2] {
        story.verdicts(Duration::from_secs(1)).map(|verdict| verdict.worked)
    }

    #[test]
    fn a_relay_works_when_every_config_is_one_hop_more() {
        let mut story = Story::default();
        note(&mut story, "hop-1", What::Connected, Instant::now());
        hop(&mut story, None, Some(812));
        for n in 812..812 + ENOUGH_HOPS {
            assert!(!story.hops_worked());
            hop(&mut story, Some(n), Some(n + 1));
        }
        assert_eq!(worked(&story), [true, false]);
        hop(&mut story, Some(900), Some(900));
        assert_eq!(worked(&story), [false, false], "it came back without a hop more");
    }

    #[test]
    fn the_lamp_has_to_wake_after_it_is_back_and_not_before() {
        let mut story = Story::default();
        let start = Instant::now();
        lamp(&mut story, "awake", start);
        story.begin(Chapter::LampSleeps);
        assert!(!story.lamp_is("awake"), "what it was told before does not count");
        lamp(&mut story, "asleep", start);
        story.begin(Chapter::LampLeaves);
        note(&mut story, "lamp-1", What::Left, start);
        assert!(!story.lamp_is_there());
        story.begin(Chapter::SwitchSays);
        story.begin(Chapter::LampReturns);
        note(&mut story, "lamp-1", What::Connected, start);
        lamp(&mut story, "asleep", start);
        assert_eq!(story.woke(), None);
        lamp(&mut story, "awake", start + Duration::from_millis(7));
        assert_eq!((story.woke(), worked(&story)), (Some(Duration::from_millis(7)), [false, true]));
    }

    #[test]
    fn the_first_failure_is_the_reason() {
        let mut story = Story::default();
        story.fail("not every device could connect");
        story.fail("and then something else");
        for verdict in story.verdicts(Duration::ZERO) {
            assert_eq!((verdict.worked, verdict.text.as_str()), (false, "not every device could connect"));
        }
    }

    #[test]
    fn everyone_has_to_be_there() {
        let mut story = Story::default();
        let now = Instant::now();
        let subscribed = || What::Subscribed { topic: String::new() };
        note(&mut story, "hop-1", subscribed(), now);
        note(&mut story, "lamp-1", subscribed(), now);
        assert!(!story.all_there());
        note(&mut story, "switch-1", What::Connected, now);
        assert!(story.all_there());
    }
}
