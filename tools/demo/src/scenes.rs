//! The example plugins as scenes of the demo: who enters, what is said, and what must come of it.

use std::time::{Duration, Instant};

use humantime::format_duration;
use serde_json::{Value, json};
use tokio::time::{Instant as At, timeout_at};

use super::{
    demo::{self, Place},
    printer::{Colour, Printer},
    puppet::{Heard, Puppet},
    story::Verdict,
};
use switchbox_cli::client::Client;

/// How long all scenes may take together, where nobody says.
const LONGEST: Duration = Duration::from_secs(300);
/// How long anything may take that happens at once.
const SOON: Duration = Duration::from_secs(10);
/// The night of the demo comes every minute.
const NIGHT: Duration = Duration::from_secs(90);
const QUIET: Duration = Duration::from_secs(3);

/// How long the device's acknowledgement may take to be written down, before anybody asks why.
const MOMENT: Duration = Duration::from_millis(200);

/// An example plugin
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scene {
    /// A phone opens a garage door and reads what the door answers
    GarageDoor,
    /// A phone is alerted when something moves, but not all the time
    MotionAlert,
    /// A camera that sleeps is restarted "at night": takes up to a minute
    NightRestart,
    /// A heater follows a thermostat
    Thermostat,
}

impl Scene {
    /// The plugin's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::GarageDoor => "garage-door",
            Self::MotionAlert => "motion-alert",
            Self::NightRestart => "night-restart",
            Self::Thermostat => "thermostat",
        }
    }

    /// Its file in the plugin folder.
    pub fn settings(self) -> String {
        let settings = match self {
            Self::MotionAlert => format!("\n[settings]\nquiet_s = {}\n", QUIET.as_secs()),
            Self::NightRestart => "\n[settings]\ncron = \"* * * * *\"\n".to_owned(),
            Self::GarageDoor | Self::Thermostat => String::new(),
        };
        format!("component = \"builtin:{}\"\n{settings}", self.name())
    }

    fn about(self) -> &'static str {
        match self {
            Self::GarageDoor => {
                "a phone asks on an ordinary topic; the plugin calls a method of the door and publishes its answer"
            }
            Self::MotionAlert => {
                "a phone is alerted when something moves, but not all the time (here: once in 3 s for each sensor)"
            }
            Self::NightRestart => "a camera that sleeps is told to restart at night (here: at the next full minute)",
            Self::Thermostat => "what a thermostat reports becomes what a heater should do",
        }
    }

    /// Plays it. What it showed, or why it did not.
    pub(super) async fn play(self, place: &Place, printer: &mut Printer) -> Result<String, String> {
        printer.line("");
        printer.line(&format!("{}: {}", printer.paint(Colour::Bold, self.name()), self.about()));
        let showed = match self {
            Self::GarageDoor => garage_door(place, printer).await,
            Self::MotionAlert => motion_alert(place, printer).await,
            Self::NightRestart => night_restart(place, printer).await,
            Self::Thermostat => thermostat(place, printer).await,
        }?;
        self.why(place, printer).await?;
        Ok(showed)
    }

    /// What the host says of the last thing that the plugin did.
    async fn why(self, place: &Place, printer: &mut Printer) -> Result<(), String> {
        tokio::time::sleep(MOMENT).await;
        let list = format!("/v1/executions?plugin={}&interesting=true&pageSize=1", self.name());
        let executions = call(place, move |client| client.get(&list)).await?;
        let event = executions.pointer("/executions/0/event").and_then(Value::as_str).unwrap_or_default();
        let execution = format!("{event}.{}", self.name());
        let asked = format!("/v1/explain/{execution}");
        let answer = call(place, move |client| client.get(&asked)).await?;
        printer.line(&printer.paint(Colour::Dim, &format!("  why?     switchbox explain {execution}")));
        for line in answer.get("text").and_then(Value::as_str).unwrap_or_default().lines() {
            printer.line(&printer.paint(Colour::Dim, &format!("           {line}")));
        }
        Ok(())
    }
}

/// The scenes in this order, whatever becomes of each, for so long at most as was asked for.
pub(super) async fn play(place: &Place, scenes: &[Scene], length: Option<Duration>) -> bool {
    let mut printer = Printer::printing();
    demo::title(place, &mut printer);
    let length = length.unwrap_or(LONGEST);
    let end = At::now() + length;
    let mut verdicts = Vec::with_capacity(scenes.len());
    for scene in scenes {
        let played = timeout_at(end, scene.play(place, &mut printer)).await;
        let played = played.unwrap_or_else(|_| Err(format!("was not over within {}", format_duration(length))));
        let worked = played.is_ok();
        verdicts.push(Verdict { scenario: scene.name(), worked, text: played.unwrap_or_else(|why| why) });
    }
    demo::conclude(&mut printer, &verdicts)
}

/// A field of the JSON that was heard; null where there is none.
fn field(heard: &Heard, name: &str) -> Value {
    let heard: Value = serde_json::from_slice(&heard.payload).unwrap_or_default();
    heard.get(name).cloned().unwrap_or_default()
}

/// What came is what had to come.
fn check(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found}, not {expected}")) }
}

async fn garage_door(place: &Place, printer: &mut Printer) -> Result<String, String> {
    let mut door = Puppet::enter(place, printer, "door-1", &["/devices/door-1/methods/#"]).await?;
    let mut phone = Puppet::enter(place, printer, "phone-1", &["garage/+/response"]).await?;
    let began = Instant::now();
    phone.say(printer, "garage/door-1/request", r#"{"action":"open","id":7}"#)?;
    let call = door.receives(printer, SOON).await?;
    door.say(printer, &format!("{}/200", call.topic.replace("/request/", "/response/")), r#"{"opens":true}"#)?;
    let answer = phone.receives(printer, SOON).await?;
    check("the answer", &field(&answer, "answer"), &json!({"opens": true}))?;
    Ok(format!("phone-1 opened door-1 and read its answer after {:.1?}", began.elapsed()))
}

async fn motion_alert(place: &Place, printer: &mut Printer) -> Result<String, String> {
    let sensor = Puppet::enter(place, printer, "motion-1", &[]).await?;
    let mut phone = Puppet::enter(place, printer, "phone-1", &["alerts/+"]).await?;
    for _ in 0..3 {
        sensor.say(printer, "/devices/motion-1/events", r#"{"motion":true}"#)?;
    }
    let first = phone.receives(printer, SOON).await?;
    check("the first alert's movements", &field(&first, "movements"), &json!(1))?;
    let second = phone.receives(printer, SOON + QUIET).await?;
    check("the second alert's movements", &field(&second, "movements"), &json!(2))?;
    Ok(format!("three movements of motion-1 were two alerts, {QUIET:.0?} apart"))
}

async fn night_restart(place: &Place, printer: &mut Printer) -> Result<String, String> {
    create_camera(place).await?;
    printer.note(
        "",
        Colour::Plain,
        "camera-1 sleeps; its metadata says night-restart = true; the night is the next full minute",
    );
    wait_for_command(place).await?;
    printer.note("", Colour::Plain, "the night came: a command waits for camera-1, which wakes up now");
    let mut camera = Puppet::enter(place, printer, "camera-1", &["/devices/camera-1/commands/#"]).await?;
    let command = camera.receives(printer, SOON).await?;
    check("the command", &String::from_utf8_lossy(&command.payload).into(), &json!("RESTART"))?;
    Ok("camera-1 slept when the timer fired, and was told to restart when it woke".to_owned())
}

async fn thermostat(place: &Place, printer: &mut Printer) -> Result<String, String> {
    let mut heater = Puppet::enter(place, printer, "heater-1", &["/devices/heater-1/config"]).await?;
    let thermostat = Puppet::enter(place, printer, "thermostat-1", &[]).await?;
    for (temperature, heating) in [(19.2, true), (20.8, false)] {
        let state = json!({ "temperature": temperature }).to_string();
        thermostat.say(printer, "/devices/thermostat-1/state", &state)?;
        let config = heater.receives(printer, SOON).await?;
        check("the heater's config", &field(&config, "heating"), &json!(heating))?;
    }
    Ok("heater-1 went on at 19.2 °C and off at 20.8 °C".to_owned())
}

const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";

async fn create_camera(place: &Place) -> Result<(), String> {
    let camera = json!({"id": "camera-1", "metadata": {"night-restart": "true"}});
    call(place, move |client| client.post(DEVICES, &camera)).await.map(drop)
}

async fn wait_for_command(place: &Place) -> Result<(), String> {
    let until = Instant::now() + NIGHT;
    while Instant::now() < until {
        let list = call(place, |client| client.get(&format!("{DEVICES}/camera-1/commands"))).await?;
        if list.get("commands").and_then(Value::as_array).is_some_and(|commands| !commands.is_empty()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Err("the night never came".to_owned())
}

/// A call of the host's API, which blocks.
async fn call(
    place: &Place,
    ask: impl FnOnce(Client) -> anyhow::Result<Value> + Send + 'static,
) -> Result<Value, String> {
    let client = Client::of(&place.admin, None, &place.data);
    let asked = tokio::task::spawn_blocking(move || ask(client)).await;
    asked.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}
