//! The steps of each scene: which clients connect, what they send, and what must result.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    api::call,
    host_location::HostLocation,
    printer::{Colour, Printer},
    scene::QUIET,
    scripted_client::{Message, ScriptedClient},
};

/// Time limit of a step that takes no time by itself.
const SOON: Duration = Duration::from_secs(10);
/// Time limit until the demo's night, which comes every minute.
const NIGHT: Duration = Duration::from_secs(90);

/// A field of a message's JSON; null if it is missing.
fn field(message: &Message, name: &str) -> Value {
    let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    body.get(name).cloned().unwrap_or_default()
}

/// Compares a result with the expected one.
fn check(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found}, not {expected}")) }
}

pub(super) async fn garage_door(location: &HostLocation, printer: &mut Printer) -> Result<String, String> {
    let mut door = ScriptedClient::connect(location, printer, "door-1", &["/devices/door-1/methods/#"]).await?;
    let mut phone = ScriptedClient::connect(location, printer, "phone-1", &["garage/+/response"]).await?;
    let began = Instant::now();
    phone.publish(printer, "garage/door-1/request", r#"{"action":"open","id":7}"#)?;
    let call = door.receive(printer, SOON).await?;
    door.publish(printer, &format!("{}/200", call.topic.replace("/request/", "/response/")), r#"{"opens":true}"#)?;
    let answer = phone.receive(printer, SOON).await?;
    check("the answer", &field(&answer, "answer"), &json!({"opens": true}))?;
    Ok(format!("phone-1 opened door-1 and read its answer after {:.1?}", began.elapsed()))
}

pub(super) async fn motion_alert(location: &HostLocation, printer: &mut Printer) -> Result<String, String> {
    let sensor = ScriptedClient::connect(location, printer, "motion-1", &[]).await?;
    let mut phone = ScriptedClient::connect(location, printer, "phone-1", &["alerts/+"]).await?;
    for _ in 0..3 {
        sensor.publish(printer, "/devices/motion-1/events", r#"{"motion":true}"#)?;
    }
    let first = phone.receive(printer, SOON).await?;
    check("the first alert's movements", &field(&first, "movements"), &json!(1))?;
    let second = phone.receive(printer, SOON + QUIET).await?;
    check("the second alert's movements", &field(&second, "movements"), &json!(2))?;
    Ok(format!("three movements of motion-1 were two alerts, {QUIET:.0?} apart"))
}

pub(super) async fn night_restart(location: &HostLocation, printer: &mut Printer) -> Result<String, String> {
    create_camera(location).await?;
    printer.event_line(
        "",
        Colour::Plain,
        "camera-1 sleeps; its metadata says night-restart = true; the night is the next full minute",
    );
    wait_for_command(location).await?;
    printer.event_line("", Colour::Plain, "the night came: a command waits for camera-1, which wakes up now");
    let mut camera = ScriptedClient::connect(location, printer, "camera-1", &["/devices/camera-1/commands/#"]).await?;
    let command = camera.receive(printer, SOON).await?;
    check("the command", &String::from_utf8_lossy(&command.payload).into(), &json!("RESTART"))?;
    Ok("camera-1 slept when the timer fired, and was told to restart when it woke".to_owned())
}

pub(super) async fn thermostat(location: &HostLocation, printer: &mut Printer) -> Result<String, String> {
    let mut heater = ScriptedClient::connect(location, printer, "heater-1", &["/devices/heater-1/config"]).await?;
    let thermostat = ScriptedClient::connect(location, printer, "thermostat-1", &[]).await?;
    for (temperature, heating) in [(19.2, true), (20.8, false)] {
        let state = json!({ "temperature": temperature }).to_string();
        thermostat.publish(printer, "/devices/thermostat-1/state", &state)?;
        let config = heater.receive(printer, SOON).await?;
        check("the heater's config", &field(&config, "heating"), &json!(heating))?;
    }
    Ok("heater-1 went on at 19.2 °C and off at 20.8 °C".to_owned())
}

const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";

async fn create_camera(location: &HostLocation) -> Result<(), String> {
    let camera = json!({"id": "camera-1", "metadata": {"night-restart": "true"}});
    call(location, move |client| client.post(DEVICES, &camera)).await.map(drop)
}

async fn wait_for_command(location: &HostLocation) -> Result<(), String> {
    let until = Instant::now() + NIGHT;
    while Instant::now() < until {
        let list = call(location, |client| client.get(&format!("{DEVICES}/camera-1/commands"))).await?;
        if list.get("commands").and_then(Value::as_array).is_some_and(|commands| !commands.is_empty()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Err("the night never came".to_owned())
}
