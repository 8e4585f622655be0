//! Trace and span ids, and how `traceparent` of W3C's Trace Context writes them. Pure.

use std::fmt;

/// The user property of MQTT 5 that has it.
pub const PROPERTY: &str = "traceparent";

/// A trace. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub(crate) u128);

/// A span. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SpanId(pub(crate) u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A place in a trace: what happens there belongs to the trace, and has this parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub(crate) trace: TraceId,
    /// What brought it about, in another program or here. `None` for what begins the trace.
    pub(crate) parent: Option<SpanId>,
    pub(crate) sampled: bool,
}

impl Context {
    /// Parses `traceparent`. Returns `None` if it is invalid: it then counts as missing, as the specification requires.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (version, flags) = (hex(version, 2)?, hex(flags, 2)?);
        // A later version may have more after it, this one may not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let trace = Some(hex(trace, 32)?).filter(|trace| *trace != 0)?;
        let parent = u64::try_from(hex(parent, 16)?).ok().filter(|parent| *parent != 0)?;
        Some(Self { trace: TraceId(trace), parent: Some(SpanId(parent)), sampled: flags & 1 == 1 })
    }
}

impl Context {
    /// For what goes out with the parent of this place as its parent.
    pub(crate) fn traceparent(&self) -> Option<String> {
        Some(traceparent(self.trace, self.parent?, self.sampled))
    }
}

/// Parses this many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let all = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if all { u128::from_str_radix(text, 16).ok() } else { None }
}

/// `traceparent` of a span.
pub(crate) fn traceparent(trace: TraceId, span: SpanId, sampled: bool) -> String {
    format!("00-{trace}-{span}-{:02x}", u8::from(sampled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = Context::parse(text).unwrap();
        assert!(read.sampled);
        assert_eq!(traceparent(read.trace, read.parent.unwrap(), true), text);
        assert!(!Context::parse(&text.replace("-01", "-00")).unwrap().sampled);
        assert!(Context::parse(&format!("cc{}-more", &text[2..])).is_some(), "of a later version");
    }

    #[test]
    fn what_is_none_counts_as_missing() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-äbf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
    }
}
