//! Azure IoT Hub's listeners for programs, each where a setting names its address: taken with the other ports, served last.

use std::net::SocketAddr;

use tokio::{runtime, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::handles::HostHandles;
use switchbox_azure_amqp as azure_amqp;
use switchbox_azure_service as azure_service;
use switchbox_settings::Settings;
use switchbox_transport::tls;

/// Ports that are taken but not served yet.
pub(super) struct Ports {
    service: Option<azure_service::Ports>,
    events: Option<azure_amqp::Ports>,
    amqp: azure_amqp::Settings,
}

impl Ports {
    pub(super) async fn bind(settings: &Settings, tls: Option<&tls::Handle>) -> anyhow::Result<Self> {
        let service = match settings.azure_https.zip(tls.cloned()) {
            Some((listen, tls)) => {
                let (hubs, payloads) = (settings.hubs.clone(), settings.payloads);
                let connections = settings.azure_max_https_connections;
                let options = azure_service::Options { listen, tls, hubs, payloads, connections };
                Some(azure_service::Ports::bind(&options).await?)
            }
            None => None,
        };
        let (plain, with_tls) = (settings.azure_amqp, settings.azure_amqps.zip(tls.cloned()));
        let events = if plain.is_some() || with_tls.is_some() {
            let connections = settings.azure_max_amqp_connections;
            Some(azure_amqp::Ports::bind(&azure_amqp::Options { plain, with_tls, connections }).await?)
        } else {
            None
        };
        let amqp = azure_amqp::Settings {
            hubs: settings.hubs.clone(),
            partitions: settings.azure_partitions,
            payloads: settings.payloads,
            data: settings.data.clone(),
        };
        Ok(Self { service, events, amqp })
    }

    /// Lets programs in.
    pub(super) fn serve(self, handles: &HostHandles, on: &runtime::Handle, shutdown: &CancellationToken) -> Listening {
        let mut listening = Listening {
            https: self.service.as_ref().map(azure_service::Ports::address),
            amqps: self.events.as_ref().and_then(|ports| ports.with_tls),
            amqp: self.events.as_ref().and_then(|ports| ports.plain),
            tasks: Vec::new(),
        };
        let hub_handles = hub_handles(handles);
        let endpoint = azure_amqp::Endpoint::new(hub_handles.clone(), self.amqp, shutdown.child_token());
        if let Some(ports) = self.service {
            let service = azure_service::Service::new(ports, hub_handles, handles.files.clone(), endpoint.clone());
            let service = service.run(shutdown.child_token());
            listening.tasks.push(handles.tasks.spawn_on(on, "hub service", shutdown, service));
        }
        if let Some(ports) = self.events {
            listening.tasks.push(handles.tasks.spawn_on(on, "event endpoint", shutdown, endpoint.run(ports)));
        }
        listening
    }
}

fn hub_handles(handles: &HostHandles) -> azure_amqp::HostHandles {
    azure_amqp::HostHandles {
        registry: handles.registry.clone(),
        ingest: handles.ingest.clone(),
        outbox: handles.outbox.clone(),
        delivery: handles.delivery.clone(),
        store: handles.store.clone(),
        auth: handles.auth.clone(),
        metrics: handles.metrics.clone(),
        tasks: handles.tasks.clone(),
    }
}

/// The address for programs of Azure IoT Hub. `None` if there is no such listener.
pub struct Listening {
    pub https: Option<SocketAddr>,
    pub amqps: Option<SocketAddr>,
    pub amqp: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Listening {
    /// The addresses, as the line of a host that is ready names them.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let https = self.https.map(|address| ("azure_https", format!("https://{address}")));
        let amqps = self.amqps.map(|address| ("azure_amqps", address.to_string()));
        let amqp = self.amqp.map(|address| ("azure_amqp", address.to_string()));
        [https, amqps, amqp].into_iter().flatten()
    }

    /// Waits until all listeners have ended. The shutdown has begun before.
    pub(super) async fn stop(self) -> Result<(), tokio::task::JoinError> {
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}
