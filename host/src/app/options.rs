//! From the settings to the options of the parts that have some.

use super::listeners;
use switchbox_admin as admin;
use switchbox_files as files;
use switchbox_mqtt as mqtt;
use switchbox_settings::Settings;
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks};
use switchbox_transport::tls;

pub(super) fn mqtt(settings: &Settings, connections: usize, tls: Option<&tls::Handle>, tasks: &Tasks) -> mqtt::Options {
    mqtt::Options {
        listeners: listeners::listeners(settings, tls),
        connections,
        connections_per_address: settings.max_connections_per_address,
        connects_per_second: settings.max_connects_per_second,
        connect_deadline: settings.connect_deadline,
        packet_deadline: settings.packet_deadline,
        sys_interval: settings.sys_interval,
        payloads: settings.payloads,
        hubs: settings.hubs.clone(),
        foreground: Some(tokio::runtime::Handle::current()),
        tasks: tasks.clone(),
        ..mqtt::Options::default()
    }
}

pub(super) fn admin(settings: &Settings, connections: usize, tls: Option<tls::Handle>) -> admin::Options {
    admin::Options {
        listen: settings.admin,
        connections,
        tls: settings.admin_tls.zip(tls),
        auth: settings.admin_auth,
        data: settings.data.clone(),
        plugins: settings.plugins.clone(),
        cors_origins: settings.cors_origins.clone(),
        payloads: settings.payloads,
        hubs: settings.hubs.clone(),
    }
}

pub(super) fn files(settings: &Settings) -> files::Options {
    let quota = files::Quota { device_bytes: settings.files.device_bytes, total_bytes: settings.files.total_bytes };
    files::Options { data: settings.data.clone(), quota }
}

pub(super) fn store(settings: &Settings, metrics: &Metrics) -> store::Options {
    store::Options {
        folder: settings.data.clone(),
        queue_bytes: settings.journal_queue_bytes,
        keep_bytes: settings.journal_keep_bytes,
        keep_executions_bytes: settings.journal_keep_executions_bytes,
        reserve_bytes: settings.disk_reserve_bytes,
        warn_free_bytes: settings.disk_warn_free_bytes,
        commit_time: metrics.commit_time.clone(),
    }
}
