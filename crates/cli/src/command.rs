//! The commands, and which one runs.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    admin_token, approvals, audit, cert, dead_letters, device, enrollment, events, explain, file, gateway, hub,
    on_host::{OnDevices, OnHost},
    plugin, plugin_logs,
    printed::{Printed, show},
    registry, service, status,
};

/// A command that runs no part of the host in this process.
#[derive(Debug, Subcommand)]
pub enum Command {
    Status(status::Options),
    /// Show, change and delete devices of a running host, and send to them
    Device(device::Options),
    /// Gateways: devices that connect other devices
    Gateway(OnDevices<gateway::Action>),
    /// Registries: groups of devices with their own ids
    Registry(OnHost<registry::Action>),
    /// Registries as hubs for programs of Azure IoT Hub
    Hub(OnHost<hub::Action>),
    /// Enrolments: devices that are registered when they first connect
    Enrollment(OnDevices<enrollment::Action>),
    /// Files that devices have uploaded
    File(OnDevices<file::Action>),
    /// Accounts of programs that are not devices, such as a dashboard
    Service(OnHost<service::Action>),
    /// Show plugins of a running host, and control them
    Plugin(plugin::Options),
    /// Create, list and delete tokens for programs that call a running host's API
    Token(OnHost<admin_token::Action>),
    /// Show the changes that were made through a running host's API
    Audit(audit::Options),
    Explain(explain::Options),
    /// Create certificates for TLS: an authority of your own, the host's certificate, and those of devices
    Cert(cert::Options),
    Events(events::Options),
    /// Events that a plugin rejected, or could not handle in five attempts
    DeadLetters(OnHost<dead_letters::Action>),
    /// Effects of plugins that wait for approval, because they exceed the plugin's limits of targets
    Approvals(OnHost<approvals::Action>),
}

/// Runs the command and prints its answer.
///
/// # Errors
///
/// The host cannot be reached or refuses; a file cannot be read or written.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let printed: Printed = match command {
        Command::Events(options) => return events::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Status(options) => status::run(&options)?.into(),
        Command::Device(options) => device::run(&options)?,
        Command::Gateway(options) => options.run()?.into(),
        Command::Registry(options) => options.run()?.into(),
        Command::Hub(options) => options.run()?.into(),
        Command::Enrollment(options) => options.run()?.into(),
        Command::File(options) => options.run()?.into(),
        Command::Service(options) => options.run()?.into(),
        Command::Plugin(plugin::Options { host, action: plugin::Action::Logs(options) }) => {
            return plugin_logs::run(&host, &options).map(|()| ExitCode::SUCCESS);
        }
        Command::Plugin(options) => plugin::run(&options)?,
        Command::Token(options) => options.run()?.into(),
        Command::Audit(options) => audit::run(&options)?.into(),
        Command::Explain(options) => explain::run(&options)?.into(),
        Command::Cert(options) => cert::run(&options)?.into(),
        Command::DeadLetters(options) => options.run()?.into(),
        Command::Approvals(options) => options.run()?.into(),
    };
    show(&printed.text)?;
    Ok(ExitCode::from(printed.code))
}
