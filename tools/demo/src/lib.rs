//! `switchbox demo` and `switchbox simulate`: simulated devices against a host, shown line by line. They use the host as any client
//! does, over MQTT and its API, and never start or stop it.

mod api;
mod azure;
mod device;
mod host_location;
mod payload;
mod printer;
mod progress;
mod scenarios;
mod scene;
mod scenes;
mod scripted_client;
mod scripts;
pub mod simulate;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

use switchbox_cli::interrupted;

pub use host_location::{Azure, HostLocation};
pub use scene::Scene;

/// Show the hop relay and the switch that wakes its lamp; or the example plugins, one after the other
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// End after this time, with exit code 0 if everything shown worked [default: at Ctrl-C; scenes end by themselves]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub length: Option<Duration>,
    /// Run these example plugins instead, once each
    #[arg(long, value_name = "NAME", value_enum, num_args = 1..)]
    pub scene: Vec<Scene>,
}

/// Runs until the time is over or Ctrl-C. Returns true if everything shown worked; otherwise the reason has been printed.
pub async fn run(location: &HostLocation, options: &Options) -> bool {
    if options.scene.is_empty() {
        return scenarios::run(location, options.length).await;
    }
    tokio::select! {
        worked = scenes::run(location, &options.scene, options.length) => worked,
        () = interrupted() => false,
    }
}
