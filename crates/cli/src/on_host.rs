//! What the commands that call a running host's API have in common: the options that say which host, an action, and the answer
//! as JSON or as a person reads it.

use clap::Subcommand;
use serde_json::Value;

use super::{client::Client, host::Host, names::Names};

/// What one command does on a host.
pub trait Action: Subcommand {
    /// The host's answer, and what a person wants to read of it.
    ///
    /// # Errors
    ///
    /// The host cannot be reached or refuses; what was given is wrong.
    fn run(&self, client: &Client) -> anyhow::Result<(Value, String)>;
}

/// The arguments of a command that does one of these actions.
#[derive(Debug, clap::Args)]
pub struct OnHost<A: Action> {
    #[command(flatten)]
    host: Host,
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

/// Runs an action in which devices are named.
#[derive(Debug, clap::Args)]
pub struct OnDevices<A: Action> {
    #[command(flatten)]
    host: Host,
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
