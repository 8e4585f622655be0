//! `switchbox demo`: a host of its own for the play, in this process, on free ports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

use crate::app::Host;
use switchbox_cli::cert;
use switchbox_demo::{self as play, HostLocation, Scene};
use switchbox_settings::{Key, Settings};
use switchbox_store::private::make_folder;

/// The plugins of the demo. `hop-*` only, so that the relay does not reject what the switch publishes.
const PLUGINS: [(&str, &str); 2] = [
    ("hop-relay.toml", "component = \"builtin:hop-relay\"\n\n[settings]\nsource = \"hop-*\"\n"),
    ("switch-wakes-device.toml", "component = \"builtin:switch-wakes-device\"\n"),
];

/// Run a host with the built-in plugins and simulated devices, and watch them
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    play: play::Options,
    /// Folder for the host's data [default: a new temporary folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the MQTT listener [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", hide_default_value = true)]
    mqtt: String,
    /// Address of the admin API [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", hide_default_value = true)]
    admin: String,
}

/// Returns success only if both scenarios succeeded.
pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let data = match &options.data {
        Some(data) => data.clone(),
        None => {
            let folder = tempfile::Builder::new().prefix("switchbox-demo-").tempdir();
            folder.context("no folder for the demo")?.keep().join("data")
        }
    };
    make_folder(&data).context("no folder for the demo")?;
    let settings = settings(options, &data)?;
    write_plugins(&settings.plugins, &options.play.scene)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let worked = runtime.block_on(async {
        let host = Host::start(&settings).await?;
        let location = HostLocation {
            mqtt: host.mqtt,
            admin: format!("http://{}", host.admin),
            plugins: settings.plugins.clone(),
            data: settings.data.clone(),
            azure: azure(&host, &data),
        };
        let worked = play::run(&location, &options.play).await;
        host.stop().await?;
        anyhow::Ok(worked)
    })?;
    Ok(if worked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn settings(options: &Options, data: &Path) -> anyhow::Result<Settings> {
    let data = data.to_str().context("the data folder's name is not UTF-8")?;
    let mut flags = vec![
        (Key::Data, data.to_owned()),
        (Key::MqttListen, options.mqtt.clone()),
        (Key::AdminListen, options.admin.clone()),
    ];
    if options.play.scene.contains(&Scene::Azure) {
        let certs = certs(Path::new(data));
        cert::for_server(&certs, &["127.0.0.1", "localhost"])?;
        let file = |name: &str| certs.join(name).to_string_lossy().into_owned();
        let free = || "127.0.0.1:0".to_owned();
        flags.extend([
            (Key::TlsCert, file("server.pem")),
            (Key::TlsKey, file("server.key.pem")),
            (Key::AzureHttpsListen, free()),
            (Key::AzureAmqpListen, free()),
            (Key::AzurePartitions, "1".to_owned()),
        ]);
    }
    Ok(Settings::with(&flags)?)
}

/// The folder of the certificates for the scene of Azure IoT Hub.
fn certs(data: &Path) -> PathBuf {
    data.with_file_name("certs")
}

/// The host's listeners for Azure IoT Hub, if it has them.
fn azure(host: &Host, data: &Path) -> Option<play::Azure> {
    let (https, amqp) = host.azure.https.zip(host.azure.amqp)?;
    Some(play::Azure { https, amqp, authority: certs(data).join("ca.pem") })
}

/// Installs the built-ins of the demo, or the plugins of these scenes; existing files stay.
fn write_plugins(folder: &Path, scenes: &[Scene]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let of_scenes = scenes
        .iter()
        .filter(|scene| scene.has_plugin())
        .map(|scene| (format!("{}.toml", scene.name()), scene.settings()));
    let built_ins = PLUGINS.iter().filter(|_| scenes.is_empty()).map(|(name, text)| ((*name).into(), (*text).into()));
    for (name, text) in built_ins.chain(of_scenes) {
        let path = folder.join(name);
        if !path.exists() {
            fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    Ok(())
}
