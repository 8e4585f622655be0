//! Shows the progress of the benchmark on standard error: a bar on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use switchbox_support::terminal;

pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `steps`: how often `step` will be called.
    pub(super) fn new(steps: usize) -> Self {
        let bar = terminal::log().1.then(|| {
            let bar = ProgressBar::new(steps as u64);
            let style = ProgressStyle::with_template("{spinner} {bar:28} {pos}/{len} {elapsed} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// Begins a step.
    pub(super) fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(what.to_owned());
                bar.inc(1);
            }
            // If standard error is closed, the progress is not shown.
            None => drop(terminal::print_error(&format!("bench: {what}"))),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
