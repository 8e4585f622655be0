//! Measures a running host: its relay only, for measurements that change something else about the host in turn.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;

use switchbox_support::{clock, terminal};

use super::{
    frames::Qos,
    load::{DRAIN, Load},
    plan::{Plan, Traffic},
    sample::Sample,
};

/// The running host and the load.
pub(super) struct Running<'a> {
    pub(super) host: SocketAddr,
    pub(super) qos: &'a [u8],
    pub(super) connections: &'a [u16],
    pub(super) window: u16,
    pub(super) threads: u16,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

/// Prints a line of JSON for each number of connections and QoS.
pub(super) async fn measure(running: &Running<'_>) -> anyhow::Result<()> {
    let Running { host, window, threads, warm_up, time, .. } = *running;
    for qos in running.qos {
        for connections in running.connections {
            let plan = Plan {
                addr: host,
                traffic: Traffic::Relay,
                connections: usize::from(*connections),
                window: usize::from(window),
                qos: if *qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce },
                // The host may have been measured before.
                run: clock::now_us(),
                threads: usize::from(threads),
                drain: DRAIN,
            };
            let load = Load::start(&plan).await?;
            tokio::time::sleep(warm_up).await;
            let rate = load.measure(time).await;
            let result = load.finish().await?;
            anyhow::ensure!(result.errors.is_empty(), "a connection broke: {}", result.errors.join("; "));
            let line = json!({
                "connections": connections, "window": window, "qos": qos, "relay": Sample::new(rate, &result),
            });
            terminal::print(&line.to_string())?;
        }
    }
    Ok(())
}
