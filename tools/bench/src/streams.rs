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
        let (mut hops, mut stream, mut run) = self.last;
        // The values are numbers and the names have no comma, so a comma ends a member.
        for member in payload.split(|byte| b"{,}".contains(byte)) {
            if let Some(number) = number_of(member, b"\"hops\":") {
                hops = number;
            } else if let Some(number) = number_of(member, b"\"stream\":") {
                stream = usize::try_from(number).unwrap_or(stream);
            } else if let Some(number) = number_of(member, b"\"run\":") {
                run = number;
            }
        }
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

fn message(out: &mut Vec<u8>, device: &str, run: u64, stream: usize, hops: u64) {
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{{\"deviceId\":\"{device}\",\"registryId\":\"default\",\"cloudRegion\":\"local\",\"hops\":{hops},\"stream\":{stream},\"run\":{run}}}"
    );
}

/// The number of a member that begins with this name and is written without spaces.
fn number_of(member: &[u8], name: &[u8]) -> Option<u64> {
    let digits = member.strip_prefix(name)?;
    digits.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?))
    })
}

/// The messages of one connection, each written as what changes in a copy of the same text: the client spends little more time on a
/// message that it composes than on one that it repeats.
pub(super) struct Template {
    /// The text up to the value of `hops`.
    head: Vec<u8>,
    /// The text after the value of `stream`.
    tail: Vec<u8>,
}

impl Template {
    pub(super) fn new(device: &str, run: u64) -> Self {
        let mut head = Vec::new();
        message(&mut head, device, run, 0, 0);
        let tail = format!(",\"run\":{run}}}").into_bytes();
        let zeros = b"0,\"stream\":0".len();
        head.truncate(head.len().saturating_sub(tail.len() + zeros));
        Self { head, tail }
    }

    /// Writes the message in place of what `out` holds.
    pub(super) fn write(&self, out: &mut Vec<u8>, stream: usize, hops: u64) {
        out.clear();
        out.extend_from_slice(&self.head);
        out.extend_from_slice(Digits::default().of(hops));
        out.extend_from_slice(b",\"stream\":");
        out.extend_from_slice(Digits::default().of(stream as u64));
        out.extend_from_slice(&self.tail);
    }
}

/// A number as text, without an allocation.
#[derive(Default)]
pub(super) struct Digits([u8; 20]);

impl Digits {
    pub(super) fn of(&mut self, mut value: u64) -> &[u8] {
        let mut start = self.0.len();
        for (index, slot) in self.0.iter_mut().enumerate().rev() {
            *slot = b'0' + u8::try_from(value % 10).unwrap_or_default();
            value /= 10;
            start = index;
            if value == 0 {
                break;
            }
        }
        self.0.get(start..).unwrap_or_default()
    }
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
    fn a_composed_message_is_the_whole_one() {
        let template = Template::new("hop-azure-1", 12);
        for (stream, hops) in [(0, 0), (15, 10), (7, u64::MAX)] {
            let (mut composed, mut whole) = (b"what was there".to_vec(), Vec::new());
            template.write(&mut composed, stream, hops);
            message(&mut whole, "hop-azure-1", 12, stream, hops);
            assert_eq!(composed, whole);
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 7, 10, 909, 1_000_000, u64::MAX] {
            assert_eq!(Digits::default().of(value), value.to_string().as_bytes());
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
