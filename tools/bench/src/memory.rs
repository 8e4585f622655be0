//! Memory of idle connections: the resident size of a server before and after they are made.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{sleep, timeout};

use super::{frames::Qos, link::Link, machine, plan::Traffic, report::Resident, servers::Server};

const CONNECT: Duration = Duration::from_secs(60);
/// The resident size is read when it has not changed for this time.
const QUIET: Duration = Duration::from_millis(400);
const QUIET_TIMEOUT: usize = 15;

/// Makes `count` connections that subscribe and then stay idle, and checks that they are alive. Returns `None` if the system does
/// not report the size of a process.
pub(super) async fn idle(server: &Server, traffic: Traffic, count: usize) -> anyhow::Result<Option<Resident>> {
    let Some(before_bytes) = wait_until_quiet(server.pid).await else { return Ok(None) };
    let mut links =
        timeout(CONNECT, connect(server, traffic, count)).await.context("the idle connections take too long")??;
    let after_bytes = wait_until_quiet(server.pid).await.unwrap_or_default();
    let alive = async {
        for link in &mut links {
            link.ping().await?;
        }
        anyhow::Ok(())
    };
    timeout(CONNECT, alive).await.context("an idle connection does not answer")?.context("an idle connection broke")?;
    let per_connection_bytes = after_bytes.saturating_sub(before_bytes) as f64 / count.max(1) as f64;
    Ok(Some(Resident { before_bytes, after_bytes, per_connection_bytes }))
}

async fn connect(server: &Server, traffic: Traffic, count: usize) -> anyhow::Result<Vec<Link>> {
    let mut links = Vec::with_capacity(count);
    for number in 1..=count {
        let (client_id, filter) = match traffic {
            Traffic::Relay | Traffic::AzureRelay => {
                (format!("idle-{number}"), format!("/devices/idle-{number}/config"))
            }
            Traffic::Echo => (format!("_idle-{number}"), format!("bench/idle/idle-{number}")),
        };
        let link = Link::open(server.mqtt, &client_id, None, &filter, Qos::AtLeastOnce).await;
        links.push(link.with_context(|| format!("idle connection {number} of {count}"))?);
    }
    Ok(links)
}

/// The resident size, when it has stopped changing.
async fn wait_until_quiet(pid: u32) -> Option<u64> {
    let mut last = machine::resident_bytes(pid)?;
    for _ in 0..QUIET_TIMEOUT {
        sleep(QUIET).await;
        let now = machine::resident_bytes(pid)?;
        if now.abs_diff(last) < 64 * 1024 {
            return Some(now.max(last));
        }
        last = now;
    }
    Some(last)
}
