//! `switchbox serve`: what the host is to run with.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::app;
use switchbox_cli as cli;
use switchbox_cli::context::{self, Started};
use switchbox_settings::{self as settings, Key, Kind, Settings, Spec, resolve};

/// Every setting can stand in the settings file, in the environment (SWITCHBOX_MQTT_LISTEN for mqtt.listen) and on the command
/// line; a flag overrides the environment, and the environment overrides the file.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    flags: Flags,
    /// A settings file (TOML)
    #[arg(long, value_name = "FILE", env = "SWITCHBOX_SETTINGS")]
    settings: Option<PathBuf>,
    /// If the data folder is damaged, do what `switchbox repair` does and then start: what cannot be read is moved to the folder
    /// `damaged` in it, and the log says what. Without this flag the start refuses with code 3
    #[arg(long)]
    repair: bool,
    /// Print the value in force of every setting and where it comes from, then exit
    #[arg(long)]
    print_settings: bool,
}

/// The flags that were given: one for each setting of the table.
#[derive(Debug)]
struct Flags(Vec<(Key, String)>);

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(settings::ALL.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |spec: &Spec| match spec.kind {
            Kind::Switch => matches.get_flag(spec.name).then(|| "true".to_owned()),
            _ => matches.get_one::<String>(spec.name).cloned(),
        };
        Ok(Self(settings::ALL.iter().filter_map(|spec| Some((spec.key, given(spec)?))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(spec: &Spec) -> Arg {
    let argument = Arg::new(spec.name).long(spec.flag);
    match spec.kind.placeholder() {
        None => argument.action(ArgAction::SetTrue).help(spec.description),
        Some(value) => {
            let default = if spec.default.is_empty() { String::new() } else { format!(" [default: {}]", spec.default) };
            argument.value_name(value).help(format!("{}{default}", spec.description))
        }
    }
}

impl Options {
    fn resolve(&self) -> anyhow::Result<Settings> {
        let file = self.settings.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("the settings file {} cannot be read", path.display()))
        });
        let file = file.transpose()?;
        Ok(resolve(file.as_deref(), &|name| std::env::var(name).ok(), &self.flags.0)?)
    }
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let settings = options.resolve()?;
    if options.print_settings {
        return cli::show(&settings.to_string());
    }
    let damage = if options.repair { app::Damage::Repair } else { app::Damage::Refuse };
    app::serve(&settings, damage, &|host| remember(host, &settings))
}

/// Writes where the host listens, so that the other commands find the host without --data.
fn remember(host: &app::Host, settings: &Settings) {
    let remembered = std::path::absolute(&settings.data).and_then(|data| {
        let (admin, mqtt) = (format!("http://{}", context::local(host.admin)), context::local(host.mqtt));
        context::remember(Started { data, admin, mqtt, pid: std::process::id() })
    });
    if let Err(error) = remembered {
        tracing::warn!(%error, "the host's address cannot be written to the user's configuration; commands need --data");
    }
}
