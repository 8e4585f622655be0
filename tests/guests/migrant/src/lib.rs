//! A guest that counts the events of each device in its state, in the schema that a test writes into the component, and sends the
//! count to the device `tally-…` as its config. The ids of devices in its state make a migration fail. Never used outside the tests.

use switchbox_plugin::{Error, Migration, NoSettings, Result, Schemas, State, prelude::*};

/// Tests replace the two digits in the built component: the schema, and the oldest schema to which it goes down.
static MARK: [u8; 24] = *b"migrant:schema=0:down=0:";

fn digit(at: usize) -> u32 {
    u32::from(std::hint::black_box(&MARK)[at] - b'0')
}

fn schema() -> u32 {
    digit(15)
}

/// Each schema has keys of its own, so that a version sees nothing of another one's state.
fn key(schema: u32, device: &str) -> String {
    format!("v{schema}/{device}")
}

#[derive(Debug)]
pub struct Migrant;

#[derive(Debug, Serialize)]
struct Count<'a> {
    schema: u32,
    count: u64,
    text: &'a str,
}

impl Plugin for Migrant {
    type Settings = NoSettings;

    fn describe(_: &NoSettings) -> Description {
        Description::new("Counts the events of each device.").on_telemetry("*").may_config("tally-*")
    }

    fn start(_: NoSettings) -> std::result::Result<Self, String> {
        Ok(Self)
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        let (device, text, schema) = (event.device.as_str(), event.text()?, schema());
        let count = host.state().get_json::<u64>(&key(schema, device))?.unwrap_or(0) + 1;
        host.state().set_json(&key(schema, device), &count)?;
        if !device.starts_with("quiet-") {
            host.set_config_json(&format!("tally-{device}"), &Count { schema, count, text })?;
        }
        assert!(text != format!("trap at {schema}"), "told to trap");
        Ok(())
    }
}

impl Migration for Migrant {
    fn schemas() -> Schemas {
        Schemas::new(schema()).down_to(digit(22)).because("the test says so")
    }

    fn up(from: u32, state: &State<'_>) -> Result<()> {
        rename(state, from, schema())
    }

    fn down(to: u32, state: &State<'_>) -> Result<()> {
        rename(state, schema(), to)
    }
}

/// Changes the keys of one schema to those of the other. Keys that were changed before a failure must not stay so.
fn rename(state: &State<'_>, from: u32, to: u32) -> Result<()> {
    let prefix = key(from, "");
    loop {
        let keys = state.keys(&prefix, None, 100)?;
        for found in &keys {
            let device = &found[prefix.len()..];
            let value = state.get(found)?.unwrap_or_default();
            state.set(&key(to, device), value)?;
            state.delete(found)?;
            match device {
                "quiet-refuse" => return Err(Error::Invalid("told to refuse".into())),
                "quiet-trap" => panic!("told to trap"),
                "quiet-endless" => loop {
                    std::hint::black_box(());
                },
                _ => {}
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
    }
}

switchbox_plugin::export!(Migrant, migration);
