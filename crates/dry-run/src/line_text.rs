//! The text of an execution's line: the same as that of its `Serialize`, which makes what is rare. A recorded plugin waits for each
//! line, and most of the time of `serde_json` for it goes into looking for escapes byte by byte, also in the names of fields.

use serde::Serialize;

use crate::{
    call::HostCall,
    effect::{EffectLine, OutcomeLine},
    event::{Data, EventLine},
    payload::Payload,
    recording::ExecutionLine,
};

impl ExecutionLine {
    /// Appends the text of its line with a line end.
    pub(crate) fn append_to(&self, text: &mut Vec<u8>) {
        append(self, text);
        text.push(b'\n');
    }
}

/// Appends the line without its end.
fn append(line: &ExecutionLine, text: &mut Vec<u8>) {
    let ExecutionLine { instance, event, calls, effects, outcome, logs, guest_us, masked } = line;
    plain(text, r#"{"kind":"execution","instance":"#);
    other(text, instance);
    plain(text, r#","event":"#);
    append_event(text, event);
    plain(text, r#","calls":"#);
    list(text, calls, append_call);
    plain(text, r#","effects":"#);
    list(text, effects, append_effect);
    plain(text, r#","outcome":"#);
    match outcome {
        OutcomeLine::Done => plain(text, r#""done""#),
        _ => other(text, outcome),
    }
    if !logs.is_empty() {
        plain(text, r#","logs":"#);
        other(text, logs);
    }
    plain(text, r#","guestUs":"#);
    other(text, guest_us);
    plain(text, if *masked { r#","masked":true}"# } else { "}" });
}

fn append_event(text: &mut Vec<u8>, event: &EventLine) {
    let EventLine { number, time_ms, device, attempt, data } = event;
    plain(text, r#"{"number":"#);
    other(text, number);
    plain(text, r#","timeMs":"#);
    other(text, time_ms);
    if !device.is_empty() {
        plain(text, r#","device":"#);
        string(text, device);
    }
    plain(text, r#","attempt":"#);
    other(text, attempt);
    plain(text, r#","data":"#);
    match data {
        Data::Telemetry { subfolder, payload, properties } if subfolder.is_empty() && properties.is_empty() => {
            plain(text, r#"{"telemetry":{"payload":"#);
            append_payload(text, payload);
            plain(text, "}}");
        }
        _ => other(text, data),
    }
    plain(text, "}");
}

fn append_call(text: &mut Vec<u8>, call: &HostCall) {
    let HostCall::Has { device, answer } = call else { return other(text, call) };
    plain(text, r#"{"call":"registry.has","device":"#);
    string(text, device);
    plain(text, if *answer { r#","answer":true}"# } else { r#","answer":false}"# });
}

fn append_effect(text: &mut Vec<u8>, effect: &EffectLine) {
    let EffectLine::Config { device, payload, expected: None } = effect else { return other(text, effect) };
    plain(text, r#"{"config":{"device":"#);
    string(text, device);
    plain(text, r#","payload":"#);
    append_payload(text, payload);
    plain(text, "}}");
}

fn append_payload(text: &mut Vec<u8>, payload: &Payload) {
    match std::str::from_utf8(&payload.0) {
        Ok(payload) => string(text, payload),
        Err(_) => other(text, payload),
    }
}

fn list<T>(text: &mut Vec<u8>, items: &[T], append: fn(&mut Vec<u8>, &T)) {
    plain(text, "[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            plain(text, ",");
        }
        append(text, item);
    }
    plain(text, "]");
}

#[inline]
fn plain(text: &mut Vec<u8>, json: impl AsRef<[u8]>) {
    text.extend_from_slice(json.as_ref());
}

fn other(text: &mut Vec<u8>, value: &impl Serialize) {
    // What is in a line can always be written as JSON.
    let _ = serde_json::to_writer(text, value);
}

/// Looks at eight bytes at once. Control characters are rare, and left to `serde_json`.
fn string(text: &mut Vec<u8>, value: &str) {
    let (begin, bytes) = (text.len(), value.as_bytes());
    text.push(b'"');
    let inner = text.len();
    // Room for a text of which each byte is escaped, and for what is written behind the last word.
    text.resize(inner + 2 * bytes.len() + size_of::<u64>(), 0);
    let mut escaped = EscapedText { room: text.get_mut(inner..).unwrap_or_default(), len: 0, has_control: false };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        escaped.add(u64::from_le_bytes(*word), word.len());
    }
    let last = rest.iter().rev().fold(repeated(b' '), |word, byte| (word << 8) | u64::from(*byte));
    escaped.add(last, rest.len());
    let EscapedText { len, has_control, .. } = escaped;
    if has_control {
        text.truncate(begin);
        return other(text, &value);
    }
    text.truncate(inner + len);
    text.push(b'"');
}

/// A text with escapes that is being made. Eight bytes are always written at once, also if fewer are needed: copies of as many bytes as
/// there are between two escapes take half as long again.
struct EscapedText<'t> {
    room: &'t mut [u8],
    len: usize,
    has_control: bool,
}

impl EscapedText<'_> {
    /// Adds the first `len` bytes of the word. The others are no control characters, and need no escape.
    #[inline]
    fn add(&mut self, word: u64, len: usize) {
        self.has_control |= zero_bytes(word & repeated(0xe0)) != 0;
        let mut escaped = zero_bytes(word ^ repeated(b'"')) | zero_bytes(word ^ repeated(b'\\'));
        self.put(self.len, word);
        while escaped != 0 {
            // The rest of the word is written again, behind the escape.
            let bits = escaped.trailing_zeros() & !7;
            let at = self.len + (bits / 8) as usize;
            if let Some(place) = self.room.get_mut(at) {
                *place = b'\\';
            }
            self.put(at + 1, word >> bits);
            self.len += 1;
            escaped &= escaped - 1;
        }
        self.len += len;
    }

    #[inline]
    fn put(&mut self, at: usize, word: u64) {
        if let Some(place) = self.room.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>) {
            *place = word.to_le_bytes();
        }
    }
}

/// The byte eight times.
const fn repeated(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The highest bit of each byte that is zero.
fn zero_bytes(word: u64) -> u64 {
    let low_bits = repeated(0x7f);
    !(((word & low_bits) + low_bits) | word | low_bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recording::Line;

    fn payload() -> impl Strategy<Value = Payload> {
        let json = "[{}\":,a-z0-9\\\\\u{e4}\u{1F600}\n]{0,200}".prop_map(|text| Payload(text.into()));
        let quotes = "[\"#!\\\\a]{0,40}".prop_map(|text| Payload(text.into()));
        prop_oneof![
            json,
            quotes,
            any::<String>().prop_map(|text| Payload(text.into())),
            any::<Vec<u8>>().prop_map(|bytes| Payload(bytes.into()))
        ]
    }

    fn data() -> impl Strategy<Value = Data> {
        let properties = prop::collection::vec((".*", ".*"), 0..2);
        let telemetry = (prop_oneof![Just(String::new()), ".*"], payload(), properties)
            .prop_map(|(subfolder, payload, properties)| Data::Telemetry { subfolder, payload, properties });
        prop_oneof![
            4 => telemetry,
            1 => Just(Data::Connected),
            1 => (any::<u64>(), payload()).prop_map(|(version, payload)| Data::State { version, payload }),
        ]
    }

    fn call() -> impl Strategy<Value = HostCall> {
        prop_oneof![
            3 => (".*", any::<bool>()).prop_map(|(device, answer)| HostCall::Has { device: device.into(), answer }),
            1 => ".*".prop_map(|device| HostCall::Device { device: device.into(), answer: None }),
        ]
    }

    fn effect() -> impl Strategy<Value = EffectLine> {
        let config = (".*", payload(), prop::option::of(any::<u64>()));
        prop_oneof![
            3 => config.prop_map(|(device, payload, expected)| EffectLine::Config { device: device.into(), payload, expected }),
            1 => (".*", payload()).prop_map(|(key, value)| EffectLine::State { key, value: Some(value), expected: None }),
        ]
    }

    fn outcome() -> impl Strategy<Value = OutcomeLine> {
        prop_oneof![Just(OutcomeLine::Done), ".*".prop_map(OutcomeLine::Failed)]
    }

    proptest! {
        #[test]
        fn the_text_is_that_of_serde(
            (instance, number, time_ms, attempt) in any::<(u32, u64, u64, u32)>(),
            device in prop_oneof![Just(String::new()), Just("lamp-1".to_owned()), ".*"],
            data in data(),
            calls in prop::collection::vec(call(), 0..3),
            effects in prop::collection::vec(effect(), 0..3),
            outcome in outcome(),
            logs in prop::collection::vec(".*", 0..2),
            (guest_us, masked) in any::<(u64, bool)>(),
        ) {
            let event = EventLine { number, time_ms, device: device.into(), attempt, data };
            let line = ExecutionLine { instance, event, calls, effects, outcome, logs, guest_us, masked };
            let mut text = Vec::new();
            append(&line, &mut text);
            let by_serde = serde_json::to_string(&Line::Execution(Box::new(line))).unwrap();
            prop_assert_eq!(String::from_utf8(text).unwrap(), by_serde);
        }
    }
}
