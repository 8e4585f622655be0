//! `switchbox serve`: what the host is to run with.

use std::path::PathBuf;

use anyhow::Context;

use crate::app;
use switchbox_cli as cli;
use switchbox_cli::context::{self, Started};
use switchbox_settings::{Key, Settings, resolve};

/// Every flag can stand in the settings file and in the environment (SWITCHBOX_MQTT_LISTEN for mqtt.listen); a flag counts
/// more than the environment, and that more than the file.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The data folder [default: switchbox-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where MQTT clients connect; port 0 = a free one [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR")]
    mqtt: Option<String>,
    /// Where MQTT clients connect with TLS (needs --tls-cert and --tls-key)
    #[arg(long, value_name = "ADDR")]
    mqtt_tls: Option<String>,
    /// Where MQTT clients connect over WebSocket
    #[arg(long, value_name = "ADDR")]
    ws: Option<String>,
    /// Where MQTT clients connect over WebSocket with TLS
    #[arg(long, value_name = "ADDR")]
    wss: Option<String>,
    /// The host's certificate and those between it and its authority (PEM); taken up anew when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// An authority (PEM): its certificates let in the device of the default registry that they name
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// Listen without TLS where other machines can connect: everybody on the way must be trusted
    #[arg(long)]
    insecure_listener: bool,
    /// Where the admin API listens; port 0 = a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Where the admin API listens with TLS (needs --tls-cert and --tls-key)
    #[arg(long, value_name = "ADDR")]
    admin_tls: Option<String>,
    /// The folder of plugins that is watched [default: plugins in the data folder]
    #[arg(long, value_name = "DIR")]
    plugins: Option<String>,
    /// A settings file (TOML)
    #[arg(long, value_name = "FILE", env = "SWITCHBOX_SETTINGS")]
    settings: Option<PathBuf>,
    /// token or none: how callers of the admin API show who they are [default: token]
    #[arg(long, value_name = "HOW")]
    admin_auth: Option<String>,
    /// Web pages that may call the admin API, by their origins, separated by commas [default: none]
    #[arg(long, value_name = "ORIGINS")]
    admin_cors_origins: Option<String>,
    /// open or closed: may devices register themselves when they first connect? [default: open on loopback addresses]
    #[arg(long, value_name = "WHO")]
    enroll: Option<String>,
    /// asked or consent: what a plugin without grants in its settings gets [default: asked]
    #[arg(long, value_name = "WHAT")]
    grant: Option<String>,
    /// Hosts that method calls may go to over HTTP, separated by commas: names, *.names, addresses, ranges, each with or
    /// without :port [default: none]
    #[arg(long, value_name = "HOST,…")]
    allowed_hosts: Option<String>,
    /// MQTT connections at a time [default: 20000]
    #[arg(long, value_name = "N")]
    max_connections: Option<String>,
    /// MQTT connections of one address at a time, other than this machine's own [default: 1000]
    #[arg(long, value_name = "N")]
    max_connections_per_address: Option<String>,
    /// MQTT connections that come in a second; twice as many at once [default: 5000]
    #[arg(long, value_name = "N")]
    max_connects_per_second: Option<String>,
    /// How long a client may take for TLS, WebSocket and CONNECT together, seconds [default: 20]
    #[arg(long, value_name = "SECONDS")]
    connect_deadline_seconds: Option<String>,
    /// How long a client may take for the rest of a packet, seconds [default: 60]
    #[arg(long, value_name = "SECONDS")]
    packet_deadline_seconds: Option<String>,
    /// Largest message on an ordinary topic, bytes [default: 262144]
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<String>,
    /// Largest telemetry of a device, bytes [default: 262144]
    #[arg(long, value_name = "BYTES")]
    max_telemetry_bytes: Option<String>,
    /// Largest state of a device, bytes [default: 65536]
    #[arg(long, value_name = "BYTES")]
    max_state_bytes: Option<String>,
    /// Bytes of the journal kept for looking back [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    journal_keep_bytes: Option<String>,
    /// Bytes of executions in which something happened that are kept longer than the journal [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    journal_keep_executions_bytes: Option<String>,
    /// Bytes of events that may wait for the journal [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    journal_queue_bytes: Option<String>,
    /// Bytes kept in reserve on the disk, so that a start on a full one can trim the journal [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    disk_reserve_bytes: Option<String>,
    /// Where less is free on the disk, the journal keeps less and a warning is logged [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    disk_warn_free_bytes: Option<String>,
    /// Show what is in force and where each value comes from, and end
    #[arg(long)]
    print_settings: bool,
}

impl Options {
    fn flags(&self) -> Vec<(Key, String)> {
        let insecure = self.insecure_listener.then(|| "true".to_owned());
        let flags = [
            (Key::Data, &self.data),
            (Key::MqttListen, &self.mqtt),
            (Key::MqttMaxConnections, &self.max_connections),
            (Key::MqttTlsListen, &self.mqtt_tls),
            (Key::MqttWsListen, &self.ws),
            (Key::MqttWssListen, &self.wss),
            (Key::MqttMaxConnectionsPerAddress, &self.max_connections_per_address),
            (Key::MqttMaxConnectsPerSecond, &self.max_connects_per_second),
            (Key::MqttConnectDeadlineSeconds, &self.connect_deadline_seconds),
            (Key::MqttPacketDeadlineSeconds, &self.packet_deadline_seconds),
            (Key::MqttMaxMessageBytes, &self.max_message_bytes),
            (Key::DevicesMaxTelemetryBytes, &self.max_telemetry_bytes),
            (Key::DevicesMaxStateBytes, &self.max_state_bytes),
            (Key::TlsCert, &self.tls_cert),
            (Key::TlsKey, &self.tls_key),
            (Key::TlsClientCa, &self.tls_client_ca),
            (Key::InsecureListener, &insecure),
            (Key::AdminListen, &self.admin),
            (Key::AdminTlsListen, &self.admin_tls),
            (Key::AdminAuth, &self.admin_auth),
            (Key::AdminCorsOrigins, &self.admin_cors_origins),
            (Key::PluginsFolder, &self.plugins),
            (Key::PluginsGrant, &self.grant),
            (Key::DevicesEnroll, &self.enroll),
            (Key::MethodsAllowedHosts, &self.allowed_hosts),
            (Key::JournalKeepBytes, &self.journal_keep_bytes),
            (Key::JournalKeepExecutionsBytes, &self.journal_keep_executions_bytes),
            (Key::JournalQueueBytes, &self.journal_queue_bytes),
            (Key::DiskReserveBytes, &self.disk_reserve_bytes),
            (Key::DiskWarnFreeBytes, &self.disk_warn_free_bytes),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }

    fn resolve(&self) -> anyhow::Result<Settings> {
        let file = self.settings.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("the settings file {} cannot be read", path.display()))
        });
        let file = file.transpose()?;
        Ok(resolve(file.as_deref(), &|name| std::env::var(name).ok(), &self.flags())?)
    }
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let settings = options.resolve()?;
    if options.print_settings {
        return cli::show(&settings.to_string());
    }
    app::serve(&settings, &|host| remember(host, &settings))
}

/// So that the other commands find the host without --data.
fn remember(host: &app::Host, settings: &Settings) {
    let remembered = std::path::absolute(&settings.data).and_then(|data| {
        let (admin, mqtt) = (format!("http://{}", context::local(host.admin)), context::local(host.mqtt));
        context::remember(Started { data, admin, mqtt, pid: std::process::id() })
    });
    if let Err(error) = remembered {
        tracing::warn!(%error, "where the host runs cannot be written to its user's configuration; commands need --data");
    }
}
