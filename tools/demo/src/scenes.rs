//! The example plugins as scenes of the demo: runs each, asks the host to explain the result, and prints both.

use std::time::Duration;

use humantime::format_duration;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    api::call,
    azure,
    host_location::HostLocation,
    printer::{Colour, Printer},
    scene::Scene,
    scripts,
    verdict::{Verdict, conclude, title},
};

/// Time limit of all scenes together, unless another is given.
const LONGEST: Duration = Duration::from_secs(300);
/// How long the device's acknowledgement may take to be recorded before the host is asked to explain it.
const MOMENT: Duration = Duration::from_millis(200);

/// Runs the scenes in this order within this time, each whatever the result of the previous one. Returns true if all worked.
pub(super) async fn run(location: &HostLocation, scenes: &[Scene], length: Option<Duration>) -> bool {
    let mut printer = Printer::for_terminal();
    title(location, &mut printer);
    let length = length.unwrap_or(LONGEST);
    let end = Instant::now() + length;
    let mut verdicts = Vec::with_capacity(scenes.len());
    for scene in scenes {
        let played = timeout_at(end, play(*scene, location, &mut printer)).await;
        let played = played.unwrap_or_else(|_| Err(format!("was not over within {}", format_duration(length))));
        let worked = played.is_ok();
        verdicts.push(Verdict { scene: scene.name(), worked, text: played.unwrap_or_else(|why| why) });
    }
    conclude(&mut printer, &verdicts)
}

/// Runs one scene. Returns what it showed, or why it failed.
async fn play(scene: Scene, location: &HostLocation, printer: &mut Printer) -> Result<String, String> {
    printer.line("");
    printer.line(&format!("{}: {}", printer.paint(Colour::Bold, scene.name()), scene.about()));
    let showed = match scene {
        Scene::Azure => azure::play(location, printer).await,
        Scene::GarageDoor => scripts::garage_door(location, printer).await,
        Scene::MotionAlert => scripts::motion_alert(location, printer).await,
        Scene::NightRestart => scripts::night_restart(location, printer).await,
        Scene::Thermostat => scripts::thermostat(location, printer).await,
    }?;
    if scene.has_plugin() {
        why(scene, location, printer).await?;
    }
    Ok(showed)
}

/// Prints the host's explanation of the plugin's last effect.
async fn why(scene: Scene, location: &HostLocation, printer: &mut Printer) -> Result<(), String> {
    tokio::time::sleep(MOMENT).await;
    let list = format!("/v1/executions?plugin={}&interesting=true&pageSize=1", scene.name());
    let executions = call(location, move |client| client.get(&list)).await?;
    let event = executions.pointer("/executions/0/event").and_then(Value::as_str).unwrap_or_default();
    let execution = format!("{event}.{}", scene.name());
    let path = format!("/v1/explain/{execution}");
    let answer = call(location, move |client| client.get(&path)).await?;
    printer.line(&printer.paint(Colour::Dim, &format!("  why?     switchbox explain {execution}")));
    for line in answer.get("text").and_then(Value::as_str).unwrap_or_default().lines() {
        printer.line(&printer.paint(Colour::Dim, &format!("           {line}")));
    }
    Ok(())
}
