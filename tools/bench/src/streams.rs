//! Streams of messages and their checks: each message belongs to a stream, whose `hops` must grow by exactly one in each round
//! trip. Pure: no sockets.

use std::{
    io::Write as _,
    ops::Range,
    time::{Duration, Instant},
};

/// Which side increments `hops` in each round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HopsRaisedBy {
    /// The plugin; the client publishes what it received.
    Server,
    /// The plugin; the client receives only the fields that differ from those of the message before.
    ServerAsPatch,
    /// The client, because the server only forwards.
    Client,
}

/// How a received message is classified.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The stream's next hop, to be published again.
    Next { took: Duration },
    /// A hop that was counted already.
    Duplicate,
    /// A message of another run, such as the config from before this run.
    Foreign,
}

/// Faults of the streams of one connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Faults {
    /// Streams whose message did not come back.
    pub(super) lost: u64,
    /// Messages that came back more than once.
    pub(super) duplicated: u64,
    /// Hops that a stream skipped: handled twice on the way, or overwritten by a newer one.
    pub(super) skipped: u64,
}

impl Faults {
    pub(super) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.skipped += other.skipped;
    }
}

struct Stream {
    expects: u64,
    since: Instant,
    ended: bool,
}

/// The streams of one connection.
pub(super) struct Streams {
    run: u64,
    streams: Vec<Stream>,
    faults: Faults,
    keys: [Key; 3],
    /// The hops, the stream and the run of the message before.
    last: (u64, usize, u64),
}

/// The numbers in a message, and the position of `hops`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MessageFields {
    pub(super) hops: u64,
    pub(super) hops_at: Range<usize>,
    pub(super) stream: usize,
    run: u64,
}

impl Streams {
    pub(super) fn new(run: u64, window: usize, now: Instant) -> Self {
        let streams = (0..window).map(|_| Stream { expects: 1, since: now, ended: false }).collect();
        let keys = ["\"hops\":", "\"stream\":", "\"run\":"].map(Key::new);
        // Messages keep their order, so the first one that comes back is the first that was sent.
        Self { run, streams, faults: Faults::default(), keys, last: (1, 0, run) }
    }

    /// Resets the times: the first messages are sent now.
    pub(super) fn restart(&mut self, now: Instant) {
        for stream in &mut self.streams {
            stream.since = now;
        }
    }

    pub(super) fn read(&mut self, payload: &[u8]) -> Option<MessageFields> {
        let [hops, stream, run] = &mut self.keys;
        let (hops, hops_at) = hops.number(payload)?;
        let (stream, _) = stream.number(payload)?;
        let (run, _) = run.number(payload)?;
        Some(MessageFields { hops, hops_at, stream: usize::try_from(stream).ok()?, run })
    }

    /// Reads a message of which only the fields that differ from those of the message before are present.
    pub(super) fn read_patch(&mut self, payload: &[u8]) -> MessageFields {
        let [hops, stream, run] = self.keys.each_mut().map(|key| key.number(payload).map(|(number, _)| number));
        let stream = stream.and_then(|stream| usize::try_from(stream).ok());
        let (hops, stream, run) =
            (hops.unwrap_or(self.last.0), stream.unwrap_or(self.last.1), run.unwrap_or(self.last.2));
        self.last = (hops, stream, run);
        MessageFields { hops, hops_at: 0..0, stream, run }
    }

    /// Classifies a received message.
    pub(super) fn arrive(&mut self, numbers: &MessageFields, now: Instant) -> Arrival {
        let Some(stream) = self.streams.get_mut(numbers.stream).filter(|_| numbers.run == self.run) else {
            return Arrival::Foreign;
        };
        if numbers.hops < stream.expects || stream.ended {
            self.faults.duplicated += 1;
            return Arrival::Duplicate;
        }
        self.faults.skipped += numbers.hops - stream.expects;
        stream.expects = numbers.hops + 1;
        let took = now.saturating_duration_since(stream.since);
        stream.since = now;
        Arrival::Next { took }
    }

    /// The stream's message is not sent again.
    pub(super) fn end_stream(&mut self, numbers: &MessageFields) {
        if let Some(stream) = self.streams.get_mut(numbers.stream) {
            stream.ended = true;
        }
    }

    pub(super) fn all_ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.ended)
    }

    /// Returns the faults at the end of a run. Streams that have not ended are lost.
    pub(super) fn faults(&self) -> Faults {
        let lost = self.streams.iter().filter(|stream| !stream.ended).count() as u64;
        Faults { lost, ..self.faults }
    }
}

/// The first message of a stream: the hop relay's record with two more fields.
pub(super) fn first_message(out: &mut Vec<u8>, device: &str, run: u64, stream: usize, hops_raised_by: HopsRaisedBy) {
    let hops = match hops_raised_by {
        HopsRaisedBy::Server | HopsRaisedBy::ServerAsPatch => 0,
        HopsRaisedBy::Client => 1,
    };
    message(out, device, run, stream, hops);
}

pub(super) fn message(out: &mut Vec<u8>, device: &str, run: u64, stream: usize, hops: u64) {
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{{\"deviceId\":\"{device}\",\"registryId\":\"default\",\"cloudRegion\":\"local\",\"hops\":{hops},\"stream\":{stream},\"run\":{run}}}"
    );
}

/// Finds `"name":` and the number after it; tries the position of the last match first.
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

    fn numbers(hops: u64, stream: usize, run: u64) -> MessageFields {
        MessageFields { hops, hops_at: 0..0, stream, run }
    }

    #[test]
    fn a_message_is_read_wherever_its_fields_stand() {
        let now = Instant::now();
        let mut streams = Streams::new(4, 1, now);
        let mut first = Vec::new();
        first_message(&mut first, "hop-1", 4, 0, HopsRaisedBy::Server);
        for (payload, hops) in [
            (std::str::from_utf8(&first).expect("text"), Some(0)),
            (
                r#"{"cloudRegion":"local","deviceId":"hop-1","hops":17,"stream":0,"registryId":"default","run":4}"#,
                Some(17),
            ),
            (r#"{"cloudRegion":"local","deviceId":"hop-1","hops":1800,"stream":0,"run":4}"#, Some(1800)),
            (r#"{ "run": 4, "stream": 0, "hops": 3 }"#, Some(3)),
            (r#"{"hops":99999999999999999999,"stream":0,"run":4}"#, None),
            (r#"{"hops":"3","stream":0,"run":4}"#, None),
            (r#"{"hops":3,"stream":0}"#, None),
            ("", None),
        ] {
            let read = streams.read(payload.as_bytes());
            assert_eq!(read.as_ref().map(|read| read.hops), hops, "{payload}");
            if let Some(read) = read {
                assert_eq!(&payload[read.hops_at], hops.expect("read").to_string());
            }
        }
    }

    #[test]
    fn fields_that_a_patch_lacks_are_those_of_the_message_before() {
        let mut streams = Streams::new(4, 2, Instant::now());
        for (payload, expect) in [
            (r#"{"hops":1,"run":4,"$version":7}"#, numbers(1, 0, 4)),
            (r#"{"stream":1,"$version":8}"#, numbers(1, 1, 4)),
            (r#"{"hops":2,"stream":0,"$version":9}"#, numbers(2, 0, 4)),
            (r#"{"hops":3,"$version":10}"#, numbers(3, 0, 4)),
        ] {
            assert_eq!(streams.read_patch(payload.as_bytes()), expect, "{payload}");
        }
    }

    #[test]
    fn a_stream_tells_next_from_duplicate_skipped_and_foreign() {
        let start = Instant::now();
        let mut streams = Streams::new(7, 2, start);
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
            assert_eq!(streams.arrive(&message, later), expect, "{message:?}");
        }
        streams.end_stream(&numbers(5, 0, 7));
        assert!(!streams.all_ended());
        assert_eq!(streams.arrive(&numbers(6, 0, 7), later), Arrival::Duplicate, "it was not sent again");
        assert_eq!(streams.faults(), Faults { lost: 1, duplicated: 2, skipped: 2 });
    }
}
