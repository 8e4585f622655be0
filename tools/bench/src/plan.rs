//! The parameters of one run of the load client, and the state that its threads share.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64},
    time::Duration,
};

use super::{frames::Qos, streams::HopsRaisedBy};

/// What circulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Devices whose events come back as configs with one hop more.
    Relay,
    /// The same with the topics of Azure IoT Hub: configs come as desired notifications.
    AzureRelay,
    /// Clients that subscribe to the topic they publish to.
    Echo,
}

impl Traffic {
    pub(super) fn hops_raised_by(self) -> HopsRaisedBy {
        match self {
            Self::Relay => HopsRaisedBy::Server,
            Self::AzureRelay => HopsRaisedBy::ServerAsPatch,
            Self::Echo => HopsRaisedBy::Client,
        }
    }
}

/// One run of the load client.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) addr: SocketAddr,
    pub(super) traffic: Traffic,
    pub(super) connections: usize,
    /// Messages under way on each connection.
    pub(super) window: usize,
    pub(super) qos: Qos,
    /// Distinguishes this run's messages from those of earlier runs.
    pub(super) run: u64,
    pub(super) threads: usize,
    pub(super) drain: Duration,
}

impl Plan {
    /// Client id, topic filter and topic of connection `number`. The ids of echo clients are not device ids, so they are ordinary
    /// clients of Switchbox.
    pub(super) fn names(&self, number: usize) -> (String, String, String) {
        match self.traffic {
            Traffic::Relay => {
                let device = format!("hop-{number}");
                let (config, events) = (format!("/devices/{device}/config"), format!("/devices/{device}/events"));
                (device, config, events)
            }
            Traffic::AzureRelay => {
                let device = format!("hop-azure-{number}");
                let events = format!("devices/{device}/messages/events/");
                (device, "$iothub/twin/PATCH/properties/desired/#".to_owned(), events)
            }
            Traffic::Echo => {
                let topic = format!("bench/echoes/hop-{number}");
                (format!("_hop-{number}"), topic.clone(), topic)
            }
        }
    }

    /// The user name of a client. The host is open, so no client needs a password.
    pub(super) fn user_name(&self, client_id: &str) -> Option<String> {
        (self.traffic == Traffic::AzureRelay).then(|| format!("bench.example/{client_id}/?api-version=2021-04-12"))
    }

    /// The device's id in its topic. It is part of the messages.
    pub(super) fn device(&self, topic: &str) -> String {
        topic.split('/').find(|level| level.starts_with("hop-")).unwrap_or(topic).to_owned()
    }
}

/// What the threads of a run and its owner share.
#[derive(Debug, Default)]
pub(super) struct RunState {
    /// Round trips since the run began.
    pub(super) completed: AtomicU64,
    /// Longest time between two completed round trips, as one thread saw it.
    pub(super) pause_ns: AtomicU64,
    /// Whether round trips are added to the histogram.
    pub(super) recording: AtomicBool,
    /// Whether messages are no longer sent again.
    pub(super) stop: AtomicBool,
}
