//! What commands that call a running host's API have in common: the options that select the host, an action, and the answer as JSON
//! or text.

use clap::Subcommand;
use serde_json::Value;

use super::{client::Client, host::HostOptions, names::Names};

/// An action on a host.
pub trait Action: Subcommand {
    /// The host's answer, and its text for users.
    ///
    /// # Errors
    ///
    /// The host cannot be reached or refuses the call, or an argument is wrong.
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)>;
}

/// The arguments of a command with these actions.
#[derive(Debug, clap::Args)]
pub struct OnHost<A: Action> {
    #[command(flatten)]
    host: HostOptions,
    #[command(subcommand)]
    action: A,
}

impl<A: Action> OnHost<A> {
    /// Returns what is to be printed.
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let (answer, text) = self.action.run(&self.host.client()?)?;
        Ok(self.host.show(&answer, text))
    }
}

/// A command whose arguments name devices.
#[derive(Debug, clap::Args)]
pub struct OnDevices<A: Action> {
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    names: Names,
    #[command(subcommand)]
    action: A,
}

impl<A: Action> OnDevices<A> {
    /// Returns what is to be printed.
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let (answer, text) = self.action.run(&self.host.client_in(&self.names)?)?;
        Ok(self.host.show(&answer, text))
    }
}
