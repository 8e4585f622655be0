//! A guest that counts the events of each device in its state and sends the count, with the event's own text, to the
//! device `tally-…` as its config. Its settings can make it trap or ask for another try. Never used outside the tests.

use switchbox_plugin::prelude::*;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Stands in every config, so that it can be seen which settings were in force.
    marker: String,
    /// Traps at every event.
    trap: bool,
    /// Asks for another try at every event.
    retry: bool,
    /// Traps at the start.
    refuse: bool,
    /// Traps at each event whose count ends with this many nines.
    trap_nines: u32,
    /// Sets each config twice.
    twice: bool,
    /// Computes this many thousand rounds at each event.
    spin: u64,
    /// Says another marker at the event with this text.
    wrong_at: String,
}

#[derive(Debug)]
pub struct Counter {
    settings: Settings,
}

#[derive(Debug, Serialize)]
struct Count<'a> {
    marker: &'a str,
    count: u64,
    text: &'a str,
}

impl Plugin for Counter {
    type Settings = Settings;

    fn describe(_: &Settings) -> Description {
        Description::new("Counts the events of each device.").on_telemetry("*").may_config("tally-*")
    }

    fn start(settings: Settings) -> Result<Self, String> {
        if settings.refuse {
            return Err("told to refuse".into());
        }
        Ok(Self { settings })
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        if self.settings.retry {
            return Err(retry("told to try again"));
        }
        let device = event.device.as_str();
        let count = host.state().get_json::<u64>(device)?.unwrap_or(0) + 1;
        host.state().set_json(device, &count)?;
        let text = event.text()?;
        let marker = if text == self.settings.wrong_at { "wrong" } else { &self.settings.marker };
        for _ in 0..=u32::from(self.settings.twice) {
            host.set_config_json(&format!("tally-{device}"), &Count { marker, count, text })?;
        }
        (0..self.settings.spin * 1_000).for_each(|round| {
            std::hint::black_box(round);
        });
        let nines = self.settings.trap_nines;
        assert!(nines == 0 || count % 10_u64.pow(nines) != 10_u64.pow(nines) - 1, "told to trap at some");
        // The effects so far must be discarded.
        assert!(!self.settings.trap, "told to trap");
        Ok(())
    }
}

switchbox_plugin::export!(Counter);
