//! What circulates and how it is checked: every message travels in a lane of its own, and a lane's hops must grow by
//! exactly one each time round. Pure; knows no sockets.

use std::{
    io::Write as _,
    ops::Range,
    time::{Duration, Instant},
};

/// Who raises `hops` on the way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raises {
    /// The plugin; the client publishes what it received.
    Server,
    /// Nobody but the client, because the server only forwards.
    Client,
}

/// What a message that came in turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The lane's next hop, to be published again.
    Next { took: Duration },
    /// A hop that was counted before.
    Duplicate,
    /// Another run's message, such as the config that was in force before this run began.
    Foreign,
}

/// Faults seen by the lanes of one connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Faults {
    /// Lanes whose message did not come back.
    pub(super) lost: u64,
    /// Messages that came back more than once.
    pub(super) duplicated: u64,
    /// Hops that a lane jumped over: handled twice on the way, or overwritten by a newer one.
    pub(super) skipped: u64,
}

impl Faults {
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.skipped += other.skipped;
    }
}

struct Lane {
    expects: u64,
    since: Instant,
    home: bool,
}

/// The lanes of one connection.
pub(super) struct Lanes {
    run: u64,
    lanes: Vec<Lane>,
    faults: Faults,
    keys: [Key; 3],
}

/// A message's own numbers, and where `hops` stands in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) hops: u64,
    pub(super) hops_at: Range<usize>,
    lane: usize,
    run: u64,
}

impl Lanes {
    pub(super) fn new(run: u64, window: usize, now: Instant) -> Self {
        let lanes = (0..window).map(|_| Lane { expects: 1, since: now, home: false }).collect();
        let keys = ["\"hops\":", "\"lane\":", "\"run\":"].map(Key::new);
        Self { run, lanes, faults: Faults::default(), keys }
    }

    /// The first messages are sent now.
    pub(super) fn restart(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.since = now;
        }
    }

    pub(super) fn read(&mut self, payload: &[u8]) -> Option<Numbers> {
        let [hops, lane, run] = &mut self.keys;
        let (hops, hops_at) = hops.number(payload)?;
        let (lane, _) = lane.number(payload)?;
        let (run, _) = run.number(payload)?;
        Some(Numbers { hops, hops_at, lane: usize::try_from(lane).ok()?, run })
    }

    /// Takes note of a message that came in.
    pub(super) fn arrive(&mut self, numbers: &Numbers, now: Instant) -> Arrival {
        let Some(lane) = self.lanes.get_mut(numbers.lane).filter(|_| numbers.run == self.run) else {
            return Arrival::Foreign;
        };
        if numbers.hops < lane.expects || lane.home {
            self.faults.duplicated += 1;
            return Arrival::Duplicate;
        }
        self.faults.skipped += numbers.hops - lane.expects;
        lane.expects = numbers.hops + 1;
        let took = now.saturating_duration_since(lane.since);
        lane.since = now;
        Arrival::Next { took }
    }

    /// The lane's message is not sent again.
    pub(super) fn retire(&mut self, numbers: &Numbers) {
        if let Some(lane) = self.lanes.get_mut(numbers.lane) {
            lane.home = true;
        }
    }

    pub(super) fn all_home(&self) -> bool {
        self.lanes.iter().all(|lane| lane.home)
    }

    /// To be asked when the run is over: lanes still under way are lost.
    pub(super) fn faults(&self) -> Faults {
        let lost = self.lanes.iter().filter(|lane| !lane.home).count() as u64;
        Faults { lost, ..self.faults }
    }
}

/// The first message of a lane: the hop relay's record with two fields of our own.
pub(super) fn first_message(out: &mut Vec<u8>, device: &str, run: u64, lane: usize, raises: Raises) {
    let hops = match raises {
        Raises::Server => 0,
        Raises::Client => 1,
    };
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{{\"deviceId\":\"{device}\",\"registryId\":\"default\",\"cloudRegion\":\"local\",\"hops\":{hops},\"lane\":{lane},\"run\":{run}}}"
    );
}

/// Finds `"name":` and the number behind it; looks first where it was last time.
struct Key {
    text: &'static str,
    hint: usize,
}

impl Key {
    fn new(text: &'static str) -> Self {
        Self { text, hint: 0 }
    }

    fn number(&mut self, payload: &[u8]) -> Option<(u64, Range<usize>)> {
        let key = self.text.as_bytes();
        if !payload.get(self.hint..).is_some_and(|rest| rest.starts_with(key)) {
            self.hint = payload.windows(key.len()).position(|window| window == key)?;
        }
        let mut start = self.hint + key.len();
        while payload.get(start) == Some(&b' ') {
            start += 1;
        }
        let digits = payload.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit());
        let mut value = 0_u64;
        let mut end = start;
        for digit in digits {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            end += 1;
        }
        (end > start).then_some((value, start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(hops: u64, lane: usize, run: u64) -> Numbers {
        Numbers { hops, hops_at: 0..0, lane, run }
    }

    #[test]
    fn a_message_is_read_wherever_its_fields_stand() {
        let now = Instant::now();
        let mut lanes = Lanes::new(4, 1, now);
        let mut first = Vec::new();
        first_message(&mut first, "hop-1", 4, 0, Raises::Server);
        for (payload, hops) in [
            (std::str::from_utf8(&first).expect("text"), Some(0)),
            (
                r#"{"cloudRegion":"local","deviceId":"hop-1","hops":17,"lane":0,"registryId":"default","run":4}"#,
                Some(17),
            ),
            (r#"{"cloudRegion":"local","deviceId":"hop-1","hops":1800,"lane":0,"run":4}"#, Some(1800)),
            (r#"{ "run": 4, "lane": 0, "hops": 3 }"#, Some(3)),
            (r#"{"hops":99999999999999999999,"lane":0,"run":4}"#, None),
            (r#"{"hops":"3","lane":0,"run":4}"#, None),
            (r#"{"hops":3,"lane":0}"#, None),
            ("", None),
        ] {
            let read = lanes.read(payload.as_bytes());
            assert_eq!(read.as_ref().map(|read| read.hops), hops, "{payload}");
            if let Some(read) = read {
                assert_eq!(&payload[read.hops_at], hops.expect("read").to_string());
            }
        }
    }

    #[test]
    fn a_lane_tells_next_from_duplicate_skipped_and_foreign() {
        let start = Instant::now();
        let mut lanes = Lanes::new(7, 2, start);
        let later = start + Duration::from_millis(3);
        let next = |took| Arrival::Next { took };
        for (message, expect) in [
            (numbers(1, 0, 7), next(Duration::from_millis(3))),
            (numbers(1, 0, 7), Arrival::Duplicate),
            (numbers(2, 0, 7), next(Duration::ZERO)),
            (numbers(5, 0, 7), next(Duration::ZERO)),
            (numbers(1, 1, 6), Arrival::Foreign),
            (numbers(1, 2, 7), Arrival::Foreign),
        ] {
            assert_eq!(lanes.arrive(&message, later), expect, "{message:?}");
        }
        lanes.retire(&numbers(5, 0, 7));
        assert!(!lanes.all_home());
        assert_eq!(lanes.arrive(&numbers(6, 0, 7), later), Arrival::Duplicate, "it was not sent again");
        assert_eq!(lanes.faults(), Faults { lost: 1, duplicated: 2, skipped: 2 });
    }
}
