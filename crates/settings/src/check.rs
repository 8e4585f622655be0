//! From the merged values to the settings. Each value is read before any is missed, so that all problems are found.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    AdminAuth, FilesQuota, GrantPolicy, Key, Problem, Settings,
    value::{Check, Values},
};
use switchbox_azure::Hubs;
use switchbox_model::{PayloadLimits, limits};

/// Returns `None` if something is wrong, which is among the problems then.
pub(super) fn check(values: Values, problems: &mut Vec<Problem>) -> Option<Settings> {
    let mut check = Check { values: &values, problems };
    let data = check.path(Key::Data);
    let insecure = check.switch(Key::InsecureListener);
    let addresses = Addresses::read(&mut check, insecure == Some(true));
    let tls = check.tls(addresses.first_with_tls());
    let connections = Connections::read(&mut check);
    let payloads = check.payloads();
    let admin_auth = check.one_of(Key::AdminAuth, &[("token", AdminAuth::Token), ("none", AdminAuth::None)]);
    let cors_origins = check.origins(Key::AdminCorsOrigins);
    let (plugins, hubs) = (Plugins::read(&mut check), HubSettings::read(&mut check));
    let enroll = check.enroll(&addresses.all());
    let queued_commands = check.at_least(Key::DevicesQueuedCommands, 1);
    let command_deliveries = check.between(Key::DevicesCommandDeliveries, 1, 100);
    let allowed_hosts = check.hosts(Key::MethodsAllowedHosts);
    let tracing = check.tracing();
    let disk = Disk::read(&mut check, payloads.unwrap_or_default());
    let (_, connections, disk, plugins, hubs) = (insecure?, connections?, disk?, plugins?, hubs?);
    Some(Settings {
        data: data?,
        mqtt: addresses.mqtt?,
        mqtt_tls: addresses.mqtt_tls.ok()?,
        ws: addresses.ws.ok()?,
        wss: addresses.wss.ok()?,
        tls: tls.ok()?,
        max_connections: connections.most,
        max_connections_per_address: connections.per_address,
        max_connects_per_second: connections.per_second,
        connect_deadline: connections.connect_deadline,
        packet_deadline: connections.packet_deadline,
        sys_interval: connections.sys_interval,
        payloads: payloads?,
        admin: addresses.admin?,
        admin_tls: addresses.admin_tls.ok()?,
        admin_auth: admin_auth?,
        cors_origins: cors_origins?,
        plugins: plugins.folder,
        grant: plugins.grant,
        js_toolchain: plugins.js_toolchain,
        enroll: enroll?,
        queued_commands: queued_commands?,
        command_deliveries: command_deliveries?,
        hubs: hubs.names,
        azure_https: addresses.azure_https.ok()?,
        azure_amqps: addresses.azure_amqps.ok()?,
        azure_amqp: addresses.azure_amqp.ok()?,
        azure_max_https_connections: hubs.https_connections,
        azure_max_amqp_connections: hubs.amqp_connections,
        azure_partitions: hubs.partitions,
        allowed_hosts: allowed_hosts?,
        tracing: tracing.ok()?,
        files: disk.files,
        journal_keep_bytes: disk.keep_bytes,
        journal_keep_executions_bytes: disk.keep_executions_bytes,
        journal_queue_bytes: disk.queue_bytes,
        disk_reserve_bytes: disk.reserve_bytes,
        disk_warn_free_bytes: disk.warn_free_bytes,
        in_force: values,
    })
}

/// Where the host listens. Of those that may be missing, `Err` is a wrong one.
struct Addresses {
    mqtt: Option<SocketAddr>,
    mqtt_tls: Result<Option<SocketAddr>, ()>,
    ws: Result<Option<SocketAddr>, ()>,
    wss: Result<Option<SocketAddr>, ()>,
    admin: Option<SocketAddr>,
    admin_tls: Result<Option<SocketAddr>, ()>,
    azure_https: Result<Option<SocketAddr>, ()>,
    azure_amqps: Result<Option<SocketAddr>, ()>,
    azure_amqp: Result<Option<SocketAddr>, ()>,
}

impl Addresses {
    /// `insecure`: other machines may reach listeners without TLS.
    fn read(check: &mut Check<'_>, insecure: bool) -> Self {
        let plain = |what| move |check: &mut Check<'_>, key| check.plain_address(key, what, insecure);
        let eavesdrop = plain("read what devices send and the credentials that they use");
        Self {
            mqtt: eavesdrop(check, Key::MqttListen),
            ws: check.optional(eavesdrop, Key::MqttWsListen),
            mqtt_tls: check.optional(Check::address, Key::MqttTlsListen),
            wss: check.optional(Check::address, Key::MqttWssListen),
            admin: plain("read the token on its way and run the host")(check, Key::AdminListen),
            admin_tls: check.optional(Check::address, Key::AdminTlsListen),
            azure_https: check.optional(Check::address, Key::AzureHttpsListen),
            azure_amqps: check.optional(Check::address, Key::AzureAmqpsListen),
            azure_amqp: check.optional(plain("read all events"), Key::AzureAmqpListen),
        }
    }

    /// Where devices come in: they may speak HTTP, too.
    fn all(&self) -> [(Key, Option<SocketAddr>); 7] {
        [
            (Key::MqttListen, self.mqtt),
            (Key::MqttTlsListen, self.mqtt_tls.ok().flatten()),
            (Key::MqttWsListen, self.ws.ok().flatten()),
            (Key::MqttWssListen, self.wss.ok().flatten()),
            (Key::AdminListen, self.admin),
            (Key::AdminTlsListen, self.admin_tls.ok().flatten()),
            (Key::AzureHttpsListen, self.azure_https.ok().flatten()),
        ]
    }

    /// The first that needs certificates.
    fn first_with_tls(&self) -> Option<Key> {
        let all = [
            (Key::MqttTlsListen, self.mqtt_tls),
            (Key::MqttWssListen, self.wss),
            (Key::AdminTlsListen, self.admin_tls),
            (Key::AzureHttpsListen, self.azure_https),
            (Key::AzureAmqpsListen, self.azure_amqps),
        ];
        all.into_iter().find(|(_, address)| matches!(address, Ok(Some(_)))).map(|(key, _)| key)
    }
}

/// How many MQTT connections there may be, and how slow.
struct Connections {
    most: usize,
    per_address: usize,
    per_second: u32,
    connect_deadline: Duration,
    packet_deadline: Duration,
    sys_interval: Duration,
}

impl Connections {
    fn read(check: &mut Check<'_>) -> Option<Self> {
        let most = check.at_least(Key::MqttMaxConnections, 1);
        let per_address = check.at_least(Key::MqttMaxConnectionsPerAddress, 1);
        let per_second = check.at_least(Key::MqttMaxConnectsPerSecond, 1);
        let connect_deadline = check.deadline(Key::MqttConnectDeadline);
        let packet_deadline = check.deadline(Key::MqttPacketDeadline);
        let sys_interval = check.interval(Key::MqttSysInterval);
        Some(Self {
            most: most?,
            per_address: per_address?,
            per_second: per_second?,
            connect_deadline: connect_deadline?,
            packet_deadline: packet_deadline?,
            sys_interval: sys_interval?,
        })
    }
}

/// Of clients of Azure IoT Hub.
struct HubSettings {
    names: Hubs,
    https_connections: usize,
    amqp_connections: usize,
    partitions: u16,
}

impl HubSettings {
    fn read(check: &mut Check<'_>) -> Option<Self> {
        let names = check.hubs(Key::AzureHubs);
        let https_connections = check.at_least(Key::AzureMaxHttpsConnections, 1);
        let amqp_connections = check.at_least(Key::AzureMaxAmqpConnections, 1);
        let partitions = check.between(Key::AzurePartitions, 1, 32);
        Some(Self {
            names: names?,
            https_connections: https_connections?,
            amqp_connections: amqp_connections?,
            partitions: partitions?,
        })
    }
}

/// Of plugins.
struct Plugins {
    folder: PathBuf,
    grant: GrantPolicy,
    js_toolchain: Option<PathBuf>,
}

impl Plugins {
    /// Every value is read, so that all problems are found.
    fn read(check: &mut Check<'_>) -> Option<Self> {
        let folder = check.path(Key::PluginsFolder);
        let policies = [("asked", GrantPolicy::Asked), ("consent", GrantPolicy::Consent)];
        let grant = check.one_of(Key::PluginsGrant, &policies);
        let js_toolchain = check.program(Key::PluginsJsToolchain);
        Some(Self { folder: folder?, grant: grant?, js_toolchain: js_toolchain.ok()? })
    }
}

/// What the journal and uploaded files may take.
struct Disk {
    files: FilesQuota,
    keep_bytes: u64,
    keep_executions_bytes: u64,
    queue_bytes: usize,
    reserve_bytes: u64,
    warn_free_bytes: u64,
}

impl Disk {
    fn read(check: &mut Check<'_>, payloads: PayloadLimits) -> Option<Self> {
        let files_device_bytes = check.at_least(Key::FilesDeviceBytes, 0);
        let files_total_bytes = check.at_least(Key::FilesTotalBytes, 0);
        let keep_bytes = check.at_least(Key::JournalKeepBytes, 0);
        let keep_executions_bytes = check.at_least(Key::JournalKeepExecutionsBytes, 0);
        // One event of the largest size must fit into what QoS 0 may take of it, which is three quarters.
        let largest_bytes = payloads.largest_bytes().max(limits::TELEMETRY_BYTES);
        let queue_bytes = check.at_least(Key::JournalQueueBytes, 4 * largest_bytes);
        let reserve_bytes = check.at_least(Key::DiskReserveBytes, 0);
        let warn_free_bytes = check.at_least(Key::DiskWarnFreeBytes, 0);
        Some(Self {
            files: FilesQuota { device_bytes: files_device_bytes?, total_bytes: files_total_bytes? },
            keep_bytes: keep_bytes?,
            keep_executions_bytes: keep_executions_bytes?,
            queue_bytes: queue_bytes?,
            reserve_bytes: reserve_bytes?,
            warn_free_bytes: warn_free_bytes?,
        })
    }
}
