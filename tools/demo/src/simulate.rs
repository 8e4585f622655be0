//! `switchbox simulate`: one simulated device against a running host, printed live.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    device::{self, DeviceCommand, DeviceEvent, DeviceKind, DeviceReport, VirtualDevice},
    printer::{Colour, Printer},
};
use switchbox_cli::{context, interrupted};

/// Hops a second by default, which a reader can follow.
const HOP_RATE: f64 = 4.0;
/// Events that may wait to be printed; the device waits when the channel is full.
const QUEUE: usize = 64;
/// How long a device may take to disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Simulate a device: connect to a host and show what is sent and received
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The behaviour of the device
    pub(super) kind: DeviceKind,
    /// The device's id [default: the kind and -1, such as hop-1]
    #[arg(long, value_name = "DEVICE")]
    pub(super) id: Option<String>,
    /// The MQTT address of the host [default: that of the host that runs on this machine]
    #[arg(long, value_name = "HOST:PORT", env = "SWITCHBOX_MQTT", value_parser = address)]
    pub(super) mqtt: Option<(String, u16)>,
    /// The host's data folder, if several hosts run on this machine
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// At most this many messages a second; 0 = as fast as the host answers [default: 4 for hop, else 0]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// How often a switch publishes
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(super) every: Duration,
    /// End after this time [default: at Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) length: Option<Duration>,
}

impl Options {
    fn address(&self) -> anyhow::Result<(String, u16)> {
        if let Some(mqtt) = &self.mqtt {
            return Ok(mqtt.clone());
        }
        let found = context::mqtt(self.data.as_deref())?;
        Ok((found.ip().to_string(), found.port()))
    }

    fn device(&self, (host, port): &(String, u16), commands: mpsc::Receiver<DeviceCommand>) -> VirtualDevice {
        let (name, rate) = match self.kind {
            DeviceKind::Hop => ("hop-1", Some(HOP_RATE)),
            DeviceKind::Switch => ("switch-1", None),
            DeviceKind::Lamp => ("lamp-1", None),
        };
        VirtualDevice {
            id: self.id.clone().unwrap_or_else(|| name.to_owned()),
            kind: self.kind,
            host: host.clone(),
            port: *port,
            rate: self.rate.or(rate),
            every: Some(self.every),
            commands: Some(commands),
        }
    }
}

/// Runs until the time is over or Ctrl-C.
///
/// # Errors
/// The device was never connected.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let (order, commands) = mpsc::channel(1);
    let (reports_tx, mut seen) = mpsc::channel(QUEUE);
    let address = options.address()?;
    let simulated = options.device(&address, commands);
    let mut printer = Printer::for_terminal();
    let (host, port) = &address;
    printer.event_line(&simulated.id, Colour::Bold, &format!("connects to {host}:{port}; Ctrl-C ends it"));
    let mut totals = Totals::new();
    let running = tokio::spawn(device::run(simulated, reports_tx));
    let over = over(options.length);
    tokio::pin!(over);
    loop {
        tokio::select! {
            one = seen.recv() => match one {
                Some(one) => {
                    totals.count(&one);
                    printer.show(&one);
                }
                None => break,
            },
            () = &mut over => break,
        }
    }
    // The device may have ended already.
    let _ = order.try_send(DeviceCommand::Disconnect);
    let disconnect = async { while seen.recv().await.is_some() {} };
    let _ = tokio::time::timeout(DISCONNECT_TIMEOUT, disconnect).await;
    running.abort();
    printer.line(&totals.text());
    anyhow::ensure!(
        totals.connected > 0,
        "the device was never connected to {host}:{port}; start a host with `switchbox serve`, or name another with --data or --mqtt"
    );
    Ok(())
}

async fn over(length: Option<Duration>) {
    match length {
        Some(length) => {
            tokio::select! {
                () = tokio::time::sleep(length) => {}
                () = interrupted() => {}
            }
        }
        None => interrupted().await,
    }
}

/// Totals of a device.
struct Totals {
    since: Instant,
    connected: u64,
    sent: u64,
    received: u64,
}

impl Totals {
    fn new() -> Self {
        Self { since: Instant::now(), connected: 0, sent: 0, received: 0 }
    }

    fn count(&mut self, seen: &DeviceReport) {
        match seen.what {
            DeviceEvent::Connected => self.connected += 1,
            DeviceEvent::Sent { .. } => self.sent += 1,
            DeviceEvent::Received { .. } => self.received += 1,
            _ => {}
        }
    }

    fn text(&self) -> String {
        let seconds = self.since.elapsed().as_secs_f64();
        let Self { connected, sent, received, .. } = self;
        let rate = *sent as f64 / seconds.max(0.001);
        format!("sent {sent} ({rate:.1} a second), received {received}, connected {connected} ×, in {seconds:.1} s")
    }
}

/// `host:port`, where the host may be a name or an address; IPv6 in brackets.
fn address(text: &str) -> Result<(String, u16), String> {
    let text = text.strip_prefix("mqtt://").unwrap_or(text);
    let (host, port) = text.rsplit_once(':').ok_or("it has to be host:port, such as 127.0.0.1:1883")?;
    let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err("the host's name is missing before the colon".to_owned());
    }
    Ok((host.to_owned(), port))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        _ => Err("it has to be a number of messages a second, 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_host_is_named_by_its_data_folder() {
        let read = Arguments::try_parse_from(["simulate", "lamp", "--data", "/a"]).unwrap();
        assert_eq!(read.options.data.as_deref(), Some(Path::new("/a")));
    }

    #[test]
    fn addresses_and_rates_are_checked() {
        let ok = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(address("127.0.0.1:1883"), ok("127.0.0.1", 1883));
        assert_eq!(address("mqtt://lamp.example:8883"), ok("lamp.example", 8883));
        assert_eq!(address("[::1]:1883"), ok("::1", 1883));
        for wrong in ["", "localhost", ":1883", "localhost:", "localhost:99999", "localhost:x"] {
            assert!(address(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["-1", "NaN", "inf", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong:?}");
        }
    }
}
