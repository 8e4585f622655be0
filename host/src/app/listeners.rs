//! Where the MQTT server listens: from the settings to listeners, and from the listeners to what the ready line says.

use std::net::SocketAddr;

use switchbox_admin_api as api;
use switchbox_mqtt::{self as mqtt, ListenerOptions, Origins};
use switchbox_settings::{Enroll, Settings};
use switchbox_transport::tls;

/// The addresses of the listeners. `None` for a listener that does not exist.
#[derive(Debug, Clone, Copy)]
pub struct Listeners {
    pub mqtt: SocketAddr,
    pub mqtts: Option<SocketAddr>,
    pub ws: Option<SocketAddr>,
    pub wss: Option<SocketAddr>,
}

/// In this order: plain, TLS, WebSocket, WebSocket with TLS.
pub(super) fn listeners(settings: &Settings, tls: Option<&tls::Handle>) -> Vec<ListenerOptions> {
    let web = Some(match settings.enroll {
        Enroll::Open => Origins::Loopback,
        Enroll::Closed => Origins::Any,
    });
    let listeners = [
        (Some(settings.mqtt), None, None),
        (settings.mqtt_tls, tls, None),
        (settings.ws, None, web),
        (settings.wss, tls, web),
    ];
    let listener = |(listen, tls, web): (Option<SocketAddr>, Option<&tls::Handle>, Option<Origins>)| {
        Some(ListenerOptions { listen: listen?, tls: tls.cloned(), web })
    };
    listeners.into_iter().filter_map(listener).collect()
}

impl Listeners {
    /// The addresses that devices are given to connect to.
    pub(super) fn announced(&self, settings: &Settings, tls: Option<&tls::Handle>) -> api::Listeners {
        let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        // Where `switchbox cert server` puts it.
        let beside = settings.tls.as_ref().map(|files| files.certificate.with_file_name("ca.pem"));
        api::Listeners {
            mqtt: self.mqtt.to_string(),
            mqtts: text(self.mqtts),
            ws: text(self.ws),
            wss: text(self.wss),
            tls_names: tls.map(tls::Handle::names).unwrap_or_default(),
            tls_authority: beside.and_then(|path| path.canonicalize().ok()),
        }
    }

    pub(super) fn of(settings: &Settings, mqtt_server: &mqtt::Service) -> Self {
        let mut bound = mqtt_server.local_addrs().iter().copied();
        let mut next = |requested: Option<SocketAddr>| requested.and_then(|_| bound.next());
        Self {
            mqtt: next(Some(settings.mqtt)).unwrap_or(settings.mqtt),
            mqtts: next(settings.mqtt_tls),
            ws: next(settings.ws),
            wss: next(settings.wss),
        }
    }
}
