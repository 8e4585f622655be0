//! The program's arguments. The commands that run, check, repair or copy a host are here; all others are in the command-line
//! crate and talk to a running host.

mod demo;
mod serve;
mod upkeep;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::app;
use switchbox_bench as bench;
use switchbox_cli as cli;
use switchbox_demo::simulate;
use switchbox_plugin_runtime::compile;
use switchbox_plugin_scripts as plugin_scripts;
use switchbox_support::terminal;

const EXIT_CODES: &str = "Exit codes: 0 = done; 1 = it failed, and standard error says why; 2 = the arguments are wrong; \
    3 = `device method`: the device answered, with a status of 400 or more; 4 = what is named is not there; \
    5 = the token is missing or does not allow it; 6 = no host answers, or it cannot at the moment; \
    7 = what is there does not allow it; 8 = no answer in time; `serve` and `check`: see docs/operations.md";

/// Lets devices drive other devices: an MQTT broker, a device registry and sandboxed plugins in one program
#[derive(Debug, Parser)]
#[command(name = "switchbox", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Arguments {
    /// The log filter for standard error, such as info, debug or switchbox_mqtt=trace [env: RUST_LOG]
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
    Demo(demo::Options),
    Check(upkeep::Check),
    Repair(upkeep::Repair),
    Backup(upkeep::Backup),
    Restore(upkeep::Restore),
    /// Simulate a device: connect to a running host and print what is sent and received
    Simulate(simulate::Options),
    #[command(flatten)]
    Client(Box<cli::Command>),
    Completions(cli::Completions),
    Man(cli::Man),
    /// Measure this host, and also mosquitto if it is installed
    Bench(Box<bench::Options>),
    /// Used by the host itself: compiles the component on standard input to standard output
    #[command(hide = true, name = compile::COMMAND)]
    CompileComponent {
        reservation: u64,
    },
    /// For the host itself: runs the tool chain of rules in JavaScript under bounds
    #[command(hide = true, name = plugin_scripts::COMMAND)]
    CompileScript {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<OsString>,
    },
}

/// The commands with their arguments.
pub type Definition = clap::Command;

/// For what is generated from the commands: completions, manual pages, docs/commands.md.
#[must_use]
pub fn definition() -> Definition {
    Arguments::command()
}

/// Reads the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { log, command } = Arguments::parse();
    if let Command::CompileComponent { reservation } = command {
        return compile_component(reservation);
    }
    if let Command::CompileScript { program } = command {
        return plugin_scripts::run_toolchain(&program);
    }
    compile::in_child_processes();
    let default = if matches!(command, Command::Serve(_)) { "info" } else { "warn" };
    let done = cli::log::start(log.as_deref(), default).and_then(|()| run(command));
    done.unwrap_or_else(|error| {
        // Standard error is closed: no reader is left.
        let _ = terminal::print_error(&format!("switchbox: {}", cli::chain(&error)));
        ExitCode::from(cli::code(&error).unwrap_or_else(|| app::code(&error)))
    })
}

/// Standard error gets the compiler's message and nothing else.
fn compile_component(reservation: u64) -> ExitCode {
    match compile::child(reservation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is closed: no reader is left.
            let _ = terminal::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(options) => return serve::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Demo(options) => return demo::run(&options),
        Command::Check(options) => return upkeep::check(&options),
        Command::Simulate(options) => return cli::block_on(simulate::run(options)),
        Command::Client(command) => return cli::run(*command),
        Command::Completions(options) => cli::completions(definition(), &options)?,
        Command::Man(options) => cli::man(definition(), &options)?,
        Command::Bench(options) => return cli::block_on(bench::run(*options)),
        Command::CompileComponent { reservation } => return Ok(compile_component(reservation)),
        Command::CompileScript { program } => return Ok(plugin_scripts::run_toolchain(&program)),
        Command::Repair(options) => cli::show(&upkeep::repair(&options)?)?,
        Command::Backup(options) => cli::show(&upkeep::backup(&options)?)?,
        Command::Restore(options) => cli::show(&upkeep::restore(&options)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_fit_together() {
        super::definition().debug_assert();
    }
}
