//! The log, on standard error: one line for each event, whatever a client put into it.

use std::io::{self, Stderr, Write};

use tracing_subscriber::EnvFilter;

/// `filter`: as in `RUST_LOG`, which counts where there is none.
pub(super) fn start(filter: Option<&str>, default: &str) -> anyhow::Result<()> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let filter = filter.or(from_environment.as_deref()).unwrap_or(default);
    let filter = EnvFilter::try_new(filter).map_err(|e| anyhow::anyhow!("--log {filter}: {e}"))?;
    let colours = io::IsTerminal::is_terminal(&io::stderr());
    let writer = || OneLine(io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colours).init();
    Ok(())
}

/// Gets each event as one piece, as the library writes it. What a client says stands in some of them, and would else look like
/// events of its own.
struct OneLine<W = Stderr>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (text, end) = event.strip_suffix(b"\n").map_or((event, &b""[..]), |text| (text, b"\n"));
        if text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            let escaped = String::from_utf8_lossy(text).replace('\n', "\\n").replace('\r', "\\r");
            self.0.write_all(&[escaped.as_bytes(), end].concat())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        for (event, written) in [
            ("INFO quiet\n", "INFO quiet\n"),
            ("WARN refused: a\nERROR forged\r\n", "WARN refused: a\\nERROR forged\\r\n"),
            ("no end", "no end"),
            ("\n", "\n"),
        ] {
            let mut line = OneLine(Vec::new());
            line.write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(line.0).unwrap(), written);
        }
    }
}
