//! What the demo's devices have done so far, and whether that is as expected. Pure.

use std::time::{Duration, Instant};

use super::{
    device::{DeviceEvent, DeviceReport},
    payload::{hops, state},
    verdict::Verdict,
};

/// The relay works if it has done this many hops without a fault.
const MIN_HOPS: u64 = 10;

/// The current step of the second scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    LampSleeps,
    LampLeaves,
    SwitchSays,
    LampReturns,
}

/// What the devices of both scenarios have done.
#[derive(Debug, Default)]
pub(super) struct Progress {
    hop_there: bool,
    switch_there: bool,
    lamp_there: bool,
    /// Round trips of hop-1.
    rounds: u64,
    /// The hops that hop-1 sent last, and whose answer it waits for.
    sent: Option<u64>,
    /// hop-1 has connected and sent nothing yet: the current config may arrive, whatever it is.
    stale_config_expected: bool,
    /// Configs of hop-1 that did not have one hop more than the event.
    wrong: u64,
    lamp: Option<String>,
    step: Option<Step>,
    lamp_connected: Option<Instant>,
    woke: Option<Duration>,
    wakes: u64,
    failure: Option<String>,
}

impl Progress {
    pub(super) fn begin(&mut self, step: Step) {
        self.step = Some(step);
        match step {
            // The state before the step does not count for it.
            Step::LampSleeps | Step::LampReturns => self.lamp = None,
            Step::LampLeaves | Step::SwitchSays => {}
        }
        self.woke = None;
    }

    pub(super) fn record(&mut self, seen: &DeviceReport, now: Instant) {
        match (seen.device.as_str(), &seen.what) {
            ("hop-1", what) => self.record_hop(what),
            ("switch-1", DeviceEvent::Connected) => self.switch_there = true,
            ("switch-1", DeviceEvent::Offline { .. }) => self.switch_there = false,
            ("lamp-1", what) => self.record_lamp(what, now),
            _ => {}
        }
    }

    fn record_hop(&mut self, what: &DeviceEvent) {
        match what {
            DeviceEvent::Subscribed { .. } => self.hop_there = true,
            DeviceEvent::Connected => self.stale_config_expected = true,
            DeviceEvent::Sent { payload, .. } => {
                self.sent = hops(payload);
                self.stale_config_expected = false;
            }
            DeviceEvent::Received { payload, .. } => match (self.sent.take(), hops(payload)) {
                (Some(sent), Some(received)) if received == sent + 1 => self.rounds += 1,
                (None, Some(_)) if self.stale_config_expected => {}
                _ => self.wrong += 1,
            },
            // A message that was in flight may or may not be answered.
            DeviceEvent::Offline { .. } => self.sent = None,
            _ => {}
        }
    }

    fn record_lamp(&mut self, what: &DeviceEvent, now: Instant) {
        match what {
            DeviceEvent::Connected => self.lamp_connected = Some(now),
            DeviceEvent::Subscribed { .. } => self.lamp_there = true,
            DeviceEvent::Left | DeviceEvent::Offline { .. } => self.lamp_there = false,
            DeviceEvent::Received { payload, .. } => {
                self.lamp = state(payload);
                let returns = self.step == Some(Step::LampReturns);
                if returns && self.woke.is_none() && self.lamp_is("awake") {
                    self.woke = self.lamp_connected.map(|since| now.saturating_duration_since(since));
                    self.wakes += 1;
                }
            }
            _ => {}
        }
    }

    pub(super) fn all_connected(&self) -> bool {
        self.hop_there && self.switch_there && self.lamp_there
    }

    pub(super) fn hops_worked(&self) -> bool {
        self.rounds >= MIN_HOPS
    }

    pub(super) fn lamp_is(&self, state: &str) -> bool {
        self.lamp.as_deref() == Some(state)
    }

    pub(super) fn lamp_is_there(&self) -> bool {
        self.lamp_there
    }

    /// How long after its connection the lamp woke, in this round.
    pub(super) fn woke(&self) -> Option<Duration> {
        self.woke
    }

    /// Only the first reason is kept.
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
            Verdict { scene: "hop relay", worked: hop_worked, text: why(hop_worked, hop) },
            Verdict { scene: "switch wakes", worked: wakes_worked, text: why(wakes_worked, wakes) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(text: String) -> bytes::Bytes {
        text.into()
    }

    fn record(progress: &mut Progress, device: &str, what: DeviceEvent, now: Instant) {
        progress.record(&DeviceReport { device: device.to_owned(), what }, now);
    }

    fn hop(progress: &mut Progress, sent: Option<u64>, received: Option<u64>) {
        let topic = String::new();
        let body = |hops| payload(format!("{{\"hops\":{hops}}}"));
        if let Some(hops) = sent {
            record(progress, "hop-1", DeviceEvent::Sent { topic: topic.clone(), payload: body(hops) }, Instant::now());
        }
        if let Some(hops) = received {
            record(progress, "hop-1", DeviceEvent::Received { topic, payload: body(hops) }, Instant::now());
        }
    }

    fn lamp(progress: &mut Progress, state: &str, now: Instant) {
        let payload = payload(format!("{{\"state\":\"{state}\"}}"));
        record(progress, "lamp-1", DeviceEvent::Received { topic: String::new(), payload }, now);
    }

    fn worked(progress: &Progress) -> [bool; 2] {
        progress.verdicts(Duration::from_secs(1)).map(|verdict| verdict.worked)
    }

    #[test]
    fn a_relay_works_when_every_config_is_one_hop_more() {
        let mut progress = Progress::default();
        record(&mut progress, "hop-1", DeviceEvent::Connected, Instant::now());
        hop(&mut progress, None, Some(812));
        for n in 812..812 + MIN_HOPS {
            assert!(!progress.hops_worked());
            hop(&mut progress, Some(n), Some(n + 1));
        }
        assert_eq!(worked(&progress), [true, false]);
        hop(&mut progress, Some(900), Some(900));
        assert_eq!(worked(&progress), [false, false], "it came back without a hop more");
    }

    #[test]
    fn the_lamp_has_to_wake_after_it_is_back_and_not_before() {
        let mut progress = Progress::default();
        let start = Instant::now();
        lamp(&mut progress, "awake", start);
        progress.begin(Step::LampSleeps);
        assert!(!progress.lamp_is("awake"), "what it was told before does not count");
        lamp(&mut progress, "asleep", start);
        progress.begin(Step::LampLeaves);
        record(&mut progress, "lamp-1", DeviceEvent::Left, start);
        assert!(!progress.lamp_is_there());
        progress.begin(Step::SwitchSays);
        progress.begin(Step::LampReturns);
        record(&mut progress, "lamp-1", DeviceEvent::Connected, start);
        lamp(&mut progress, "asleep", start);
        assert_eq!(progress.woke(), None);
        lamp(&mut progress, "awake", start + Duration::from_millis(7));
        assert_eq!((progress.woke(), worked(&progress)), (Some(Duration::from_millis(7)), [false, true]));
    }

    #[test]
    fn the_first_failure_is_the_reason() {
        let mut progress = Progress::default();
        progress.fail("not every device could connect");
        progress.fail("and then something else");
        for verdict in progress.verdicts(Duration::ZERO) {
            assert_eq!((verdict.worked, verdict.text.as_str()), (false, "not every device could connect"));
        }
    }

    #[test]
    fn every_device_has_to_be_connected() {
        let mut progress = Progress::default();
        let now = Instant::now();
        let subscribed = || DeviceEvent::Subscribed { topic: String::new() };
        record(&mut progress, "hop-1", subscribed(), now);
        record(&mut progress, "lamp-1", subscribed(), now);
        assert!(!progress.all_connected());
        record(&mut progress, "switch-1", DeviceEvent::Connected, now);
        assert!(progress.all_connected());
    }
}
