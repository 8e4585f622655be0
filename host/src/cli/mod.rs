//! The command line: reads arguments, starts the host or talks to one that runs, prints what comes of it. Never decides
//! anything that a host does.

mod admin_token;
mod advice;
mod cert;
mod client;
#[cfg(test)]
mod command_tests;
mod context;
mod credential;
mod demo;
mod demo_house;
mod device;
mod events;
mod example;
mod explain;
mod gateway;
mod letters;
mod log;
mod narrator;
#[cfg(test)]
mod newcomer_tests;
mod pace;
mod plugin;
mod plugin_logs;
pub mod plugin_new;
mod puppet;
mod readable;
mod registry;
mod scenes;
mod serve;
mod service;
mod simulate;
mod story;
mod table;
#[cfg(test)]
mod tests;
mod token;
mod trust;
mod upkeep;
mod virtual_device;

use std::{io, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{app, bench, plugin::compile, terminal};

const EXIT_CODES: &str = "Exit codes: 0 = done; 1 = it failed, and standard error says why; 2 = the arguments are wrong; \
    3 = `device method`: the device answered, with a status of 400 or more; `serve` and `check`: see docs/operations.md";
/// The exit code of `device method` when the device answers that it failed.
const DEVICE_REFUSED: u8 = 3;

/// Lets devices drive other devices: an MQTT broker, a device registry and sandboxed plugins in one program
#[derive(Debug, Parser)]
#[command(name = "switchbox", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    /// What to log to standard error, such as info, debug or switchbox::mqtt=trace [env: RUST_LOG]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host
    Serve(Box<serve::Options>),
    /// Run a host with the built-in plugins and simulated devices, and watch them
    Demo(demo_house::Options),
    /// Be a device: connect to a running host and show what is sent and received
    Simulate(simulate::Options),
    /// Look at devices of a running host, change them, send to them
    Device(device::Options),
    Gateway(gateway::Options),
    /// Registries: groups of devices with names of their own
    Registry(registry::Options),
    /// Accounts of programs that are no devices, such as a dashboard that watches
    Service(service::Options),
    /// Look at plugins of a running host, switch them on and off
    Plugin(plugin::Options),
    /// Make tokens for programs that call a running host's API, look at them, delete them
    Token(admin_token::Options),
    /// Who changed what through a running host's API
    Audit(admin_token::AuditOptions),
    Explain(explain::Options),
    /// Make certificates for TLS: an authority of your own, the host's certificate, devices'
    Cert(cert::Options),
    Events(events::Options),
    DeadLetters(letters::Options),
    Check(upkeep::Check),
    Repair(upkeep::Repair),
    Backup(upkeep::Backup),
    Restore(upkeep::Restore),
    /// Measure this host, and mosquitto beside it where it is installed
    Bench(Box<bench::Options>),
    /// For the host itself: compiles the component on standard input to standard output
    #[command(hide = true, name = compile::COMMAND)]
    CompileComponent {
        reservation: u64,
    },
}

impl Command {
    /// What is logged unless somebody says otherwise: of a demo only what is wrong.
    fn log(&self) -> &'static str {
        match self {
            Self::Serve(_) => "info",
            _ => "warn",
        }
    }
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

/// Reads the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompileComponent { reservation } = cli.command {
        return compiled(reservation);
    }
    compile::in_child_processes();
    let started = log::start(cli.log.as_deref(), cli.command.log());
    match started.and_then(|()| run(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            // There is nobody left to tell.
            let _ = terminal::print_error(&format!("switchbox: {}", chain(&error)));
            ExitCode::from(app::code(&error))
        }
    }
}

/// Says on standard error what is wrong, in no more words than the compiler's.
fn compiled(reservation: u64) -> ExitCode {
    match compile::child(reservation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell.
            let _ = terminal::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let printed: Printed = match command {
        Command::Serve(options) => return serve::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Demo(options) => return demo_house::run(&options),
        Command::Simulate(options) => return block_on(simulate::run(options)),
        Command::Events(options) => return events::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Bench(options) => return block_on(bench::run(*options)),
        Command::CompileComponent { reservation } => return Ok(compiled(reservation)),
        Command::Device(options) => device::run(&options)?,
        Command::Gateway(options) => gateway::run(&options)?.into(),
        Command::Registry(options) => registry::run(&options)?.into(),
        Command::Service(options) => service::run(&options)?.into(),
        Command::Plugin(plugin::Options { host, action: plugin::Action::Logs(options) }) => {
            return plugin_logs::run(&host, &options).map(|()| ExitCode::SUCCESS);
        }
        Command::Plugin(options) => plugin::run(&options)?.into(),
        Command::Token(options) => admin_token::run(&options)?.into(),
        Command::Audit(options) => admin_token::audit(&options)?.into(),
        Command::Explain(options) => explain::run(&options)?.into(),
        Command::Cert(options) => cert::run(&options)?.into(),
        Command::DeadLetters(options) => letters::run(&options)?.into(),
        Command::Check(options) => return upkeep::check(&options),
        Command::Repair(options) => upkeep::repair(&options)?.into(),
        Command::Backup(options) => upkeep::backup(&options)?.into(),
        Command::Restore(options) => upkeep::restore(&options)?.into(),
    };
    show(&printed.text)?;
    Ok(ExitCode::from(printed.code))
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work).map(|()| ExitCode::SUCCESS)
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Prints what a command has to say. A reader that has gone away, as `head` does, ends the program.
fn show(text: &str) -> anyhow::Result<()> {
    match terminal::print(text.trim_end_matches('\n')) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        printed => printed.context("standard output cannot be written"),
    }
}

/// The error and its causes as one text, without saying twice what a cause's parent says already.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
