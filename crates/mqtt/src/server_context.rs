//! The state that all connections share.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::broadcast::error::RecvError;

use super::{
    clients::{Clients, Key},
    cpu_budget::CpuBudgets,
    gateway::routes::GatewayRoutes,
    host_parts::HostParts,
    options::Options,
    session_key,
};
use switchbox_core::registry::Changed;
use switchbox_pubsub::Topics;
use switchbox_support::{log_limit::LogLimits, metrics::Metrics};

/// Log lines a minute about refused clients of one network.
const REFUSAL_LINES: u32 = 30;

/// The state that all connections share: the settings, the sessions, the parts of the host, and the limits of log lines.
pub(super) struct ServerContext {
    pub(super) options: Options,
    pub(super) host: HostParts,
    pub(super) topics: Topics,
    pub(super) clients: Arc<Clients>,
    pub(super) gateway_routes: GatewayRoutes,
    /// The CPU budgets of accounts. All connections of an account share one.
    pub(super) cpu_budgets: CpuBudgets,
    /// Limits the log lines about refused clients, by their networks.
    pub(super) refusal_lines: LogLimits<IpAddr>,
    /// Limits the log lines about clients, by their names and the kind of line: one a minute, however often they reconnect.
    pub(super) client_lines: LogLimits<(Arc<str>, &'static str)>,
    pub(super) metrics: Metrics,
}

impl ServerContext {
    pub(super) fn new(options: Options, host: HostParts, topics: Topics, metrics: Metrics) -> Self {
        let clients = Arc::new(Clients::new(topics.clone(), metrics.clone(), options.connections));
        let (gateway_routes, cpu_budgets) = (GatewayRoutes::default(), CpuBudgets::default());
        let (refusal_lines, client_lines) = (LogLimits::new(REFUSAL_LINES), LogLimits::new(1));
        Self { options, host, topics, clients, gateway_routes, cpu_budgets, refusal_lines, client_lines, metrics }
    }

    /// Checks the clients again whose admission depends on what has changed.
    pub(super) fn revalidate(&self, changed: Result<Changed, RecvError>) {
        match changed {
            Ok(Changed::Device(num)) => {
                self.clients.revalidate(Some(&Key::Device(num)));
                self.gateway_routes.revalidate(num);
            }
            Ok(Changed::Deleted(num)) => {
                self.clients.forget(&Key::Device(num));
                self.gateway_routes.revalidate(num);
            }
            Ok(Changed::Registry(_) | Changed::Clock) => self.clients.revalidate(None),
            // Too many changes came at once for the channel, so all clients are checked.
            Ok(Changed::Service(_)) | Err(RecvError::Lagged(_)) => {
                self.clients.forget_all(|key| !session_key::can_return(&self.host, key));
                self.clients.revalidate(None);
            }
            // The registry outlives the MQTT server.
            Err(RecvError::Closed) => {}
        }
    }
}
