//! The commands that talk to a running host, and those that need none. Each reads its arguments, asks the host through its API
//! and prints the answer. The commands that run or repair a host are in the program itself.

mod admin_token;
mod advice;
mod answer;
mod audit;
mod cert;
pub mod client;
#[cfg(test)]
mod command_tests;
pub mod context;
mod credential;
mod dead_letters;
mod device;
mod events;
mod example;
mod explain;
#[cfg(test)]
mod first_use_tests;
mod gateway;
mod host;
pub mod log;
mod names;
mod on_host;
mod payload;
mod plugin;
mod plugin_logs;
pub mod plugin_new;
mod readable;
mod registry;
mod service;
mod table;
mod token;
mod trust;
mod url;

use std::{io, process::ExitCode};

use anyhow::Context as _;
use clap::Subcommand;

use on_host::{OnDevices, OnHost};
use switchbox_support::terminal;

/// The exit code of `device method` when the device answers that it failed.
const DEVICE_REFUSED: u8 = 3;

/// A command that needs no part of the host in this process.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at devices of a running host, change them, send to them
    Device(device::Options),
    /// Gateways: devices that speak for others, which attach over the gateway's connection
    Gateway(OnDevices<gateway::Action>),
    /// Registries: groups of devices with names of their own
    Registry(OnHost<registry::Action>),
    /// Accounts of programs that are no devices, such as a dashboard that watches
    Service(OnHost<service::Action>),
    /// Look at plugins of a running host, switch them on and off
    Plugin(plugin::Options),
    /// Make tokens for programs that call a running host's API, look at them, delete them
    Token(OnHost<admin_token::Action>),
    /// Who changed what through a running host's API
    Audit(audit::Options),
    Explain(explain::Options),
    /// Make certificates for TLS: an authority of your own, the host's certificate, devices'
    Cert(cert::Options),
    Events(events::Options),
    /// Events that a plugin rejected, or could not handle in five tries
    DeadLetters(OnHost<dead_letters::Action>),
}

/// What a command prints, and the code that it ends with.
struct Printed {
    text: String,
    code: u8,
}

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self { text, code: 0 }
    }
}

/// Runs the command and prints its answer.
///
/// # Errors
///
/// The host cannot be reached or refuses; a file cannot be read or written.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let printed: Printed = match command {
        Command::Events(options) => return events::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Device(options) => device::run(&options)?,
        Command::Gateway(options) => options.run()?.into(),
        Command::Registry(options) => options.run()?.into(),
        Command::Service(options) => options.run()?.into(),
        Command::Plugin(plugin::Options { host, action: plugin::Action::Logs(options) }) => {
            return plugin_logs::run(&host, &options).map(|()| ExitCode::SUCCESS);
        }
        Command::Plugin(options) => plugin::run(&options)?.into(),
        Command::Token(options) => options.run()?.into(),
        Command::Audit(options) => audit::run(&options)?.into(),
        Command::Explain(options) => explain::run(&options)?.into(),
        Command::Cert(options) => cert::run(&options)?.into(),
        Command::DeadLetters(options) => options.run()?.into(),
    };
    show(&printed.text)?;
    Ok(ExitCode::from(printed.code))
}

/// Runs `work` on a runtime of its own.
///
/// # Errors
///
/// Those of `work`, and of making the runtime.
pub fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work).map(|()| ExitCode::SUCCESS)
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Prints what a command has to say. A reader that has gone away, as `head` does, ends the program.
///
/// # Errors
///
/// Standard output cannot be written.
pub fn show(text: &str) -> anyhow::Result<()> {
    match terminal::print(text.trim_end_matches('\n')) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        printed => printed.context("standard output cannot be written"),
    }
}

/// The error and its causes as one text, without saying twice what a cause's parent says already.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
