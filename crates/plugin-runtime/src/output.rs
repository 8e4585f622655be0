//! A guest's output while it handles an event: log lines, standard output and standard error, in order and bounded. Output
//! past the bounds is dropped, and one line says so.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::{
    failure::LimitHit,
    limits::{Limits, names},
};
use switchbox_model::limits::LimitName;
use switchbox_rules::output::{OutputBounds, OutputLines};

/// Bytes of the newest standard error that are kept even past the bounds, because it has the guest's panic text.
const ERROR_TAIL_BYTES: usize = 2_048;

/// Bytes that a guest may write at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Which stream of the guest a text is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Stdout,
    Stderr,
}

/// Shared by the instance and by the streams that the guest holds.
#[derive(Debug, Clone)]
pub(super) struct Output(Arc<Mutex<Captured>>);

#[derive(Debug, Default)]
struct Captured {
    /// Each with its level, or with the stream that it is from.
    lines: OutputLines<&'static str>,
    bounds: OutputBounds,
    /// Lines without their end yet.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    error_tail: Vec<u8>,
    /// Something was written since the last call.
    is_written: bool,
}

impl Output {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(Captured { bounds: limits.output_bounds(), ..Captured::default() })))
    }

    /// One line of the guest's log.
    pub(super) fn log(&self, level: &'static str, message: &str) {
        self.0.lock().line(level, message);
    }

    pub(super) fn write(&self, source: Source, bytes: &[u8]) {
        self.0.lock().write(source, bytes);
    }

    /// The lines of this call and the limits that were hit; empties it for the next call.
    pub(super) fn take(&self) -> (Vec<String>, Vec<LimitName>) {
        let mut captured = self.0.lock();
        if !captured.is_written {
            return (Vec::new(), Vec::new());
        }
        for (source, open) in
            [("stdout", std::mem::take(&mut captured.stdout)), ("stderr", std::mem::take(&mut captured.stderr))]
        {
            if !open.is_empty() {
                captured.line(source, &String::from_utf8_lossy(&open));
            }
        }
        captured.error_tail.clear();
        captured.is_written = false;
        let (lines, hit) = captured.lines.take();
        drop(captured);
        (lines.into_iter().map(|(level, text)| format!("{level}: {text}")).collect(), hit)
    }

    /// The end of this call's standard error, such as a panic's text.
    pub(super) fn stderr_tail(&self) -> String {
        let captured = self.0.lock();
        let text = String::from_utf8_lossy(&captured.error_tail);
        let lines =
            text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("note: run with"));
        lines.collect::<Vec<_>>().join(" | ")
    }
}

impl Captured {
    fn line(&mut self, level: &'static str, message: &str) {
        self.is_written = true;
        self.lines.push(self.bounds, level, "warn", message);
    }

    fn write(&mut self, source: Source, bytes: &[u8]) {
        self.is_written = true;
        if source == Source::Stderr {
            self.error_tail.extend_from_slice(bytes);
            let excess = self.error_tail.len().saturating_sub(ERROR_TAIL_BYTES);
            self.error_tail.drain(..excess);
        }
        if self.lines.is_cut() {
            return;
        }
        let max_bytes = self.bounds.bytes.bytes();
        let (name, mut open) = match source {
            Source::Stdout => ("stdout", std::mem::take(&mut self.stdout)),
            Source::Stderr => ("stderr", std::mem::take(&mut self.stderr)),
        };
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            open.extend_from_slice(piece);
            if pieces.peek().is_some() || open.len() > max_bytes {
                self.line(name, &String::from_utf8_lossy(&open));
                open.clear();
            }
        }
        match source {
            Source::Stdout => self.stdout = open,
            Source::Stderr => self.stderr = open,
        }
    }
}

/// The guest's handle of a stream. Always ready: output past the bounds is dropped.
pub(super) struct Stream {
    pub(super) output: Output,
    pub(super) source: Source,
}

impl Pollable for Stream {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES {
            let text = format!("{} bytes in one write, {WRITE_BYTES} are allowed", bytes.len());
            return Err(StreamError::Trap(LimitHit { limit: names::OUTPUT, text }.into()));
        }
        self.output.write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Size;

    fn output(bytes: u64, lines: u32) -> Output {
        Output::new(&Limits { output: Size(bytes), log_lines: lines, ..Limits::default() })
    }

    #[test]
    fn pieces_become_lines_in_order() {
        let output = output(1_000, 10);
        output.write(Source::Stdout, b"one\ntw");
        output.log("info", "between");
        output.write(Source::Stdout, b"o\nthree");
        output.write(Source::Stderr, b"\xff\n");
        let (lines, cut) = output.take();
        assert_eq!(lines, ["stdout: one", "info: between", "stdout: two", "stderr: \u{fffd}", "stdout: three"]);
        assert!(cut.is_empty());
        assert_eq!(output.take(), (vec![], vec![]));
    }

    #[test]
    fn what_is_too_much_is_dropped_and_said() {
        for (output, limit) in [(output(1_000, 2), names::LOG_LINES), (output(9, 100), names::OUTPUT)] {
            for _ in 0..5 {
                output.log("info", "1234");
            }
            let (lines, cut) = output.take();
            assert_eq!(lines.len(), 3);
            assert_eq!(cut, [limit]);
            assert!(lines[2].contains(limit.as_str()), "{lines:?}");
            output.log("info", "1234");
            assert_eq!(output.take(), (vec!["info: 1234".into()], vec![]));
        }
    }

    #[test]
    fn a_long_line_keeps_its_beginning() {
        let output = output(100_000, 10);
        output.log("info", &"x".repeat(20_000));
        output.write(Source::Stdout, &[&[b'y'; 20_000][..], b"\n"].concat());
        let (lines, cut) = output.take();
        assert_eq!(lines.iter().map(|line| line.len() < 5_000).collect::<Vec<_>>(), [true, true]);
        assert!(lines.iter().all(|line| line.ends_with("(cut: it had 20000 bytes)")), "{lines:?}");
        assert_eq!(cut, [names::TEXT_BYTES]);
    }

    #[test]
    fn a_line_without_an_end_stays_bounded_and_the_last_words_are_kept() {
        let output = output(100, 10);
        for _ in 0..1_000 {
            output.write(Source::Stdout, &[b'x'; 100]);
        }
        output.write(
            Source::Stderr,
            b"\nthread 'main' panicked at src/lib.rs:1:2:\nboom\nnote: run with `RUST_BACKTRACE=1`\n",
        );
        assert!(output.0.lock().stdout.len() <= 200);
        assert_eq!(output.stderr_tail(), "thread 'main' panicked at src/lib.rs:1:2: | boom");
    }
}
