//! The two scenarios of the demo: the hop relay, and the switch that wakes its lamp. Sends commands to three simulated devices and
//! prints their events.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant as At, timeout_at},
};

use super::{
    device::{self, DeviceCommand, DeviceKind, DeviceReport, VirtualDevice},
    host_location::HostLocation,
    printer::{Colour, Printer},
    progress::{Progress, Step},
    verdict::{conclude, title},
};
use switchbox_cli::interrupted;

/// The limit of hop-1, so that the demo uses little processor time. `switchbox bench` shows the maximum.
const HOPS_PER_SECOND: f64 = 1_000.0;
/// Events that may wait to be printed; the devices wait when the channel is full.
const QUEUE: usize = 256;
/// How long a device may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a config may take to reach its device.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(5);
/// A pause between two steps for the reader, if there is time.
const PAUSE: Duration = Duration::from_millis(1_500);
/// With little time, the pause is this fraction of it: one round of the switch has four pauses.
const PAUSES: u32 = 8;
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs both scenarios until the time is over or Ctrl-C. Returns true if both worked; otherwise the reason has been printed.
pub(super) async fn run(location: &HostLocation, length: Option<Duration>) -> bool {
    let mut demo = Demo::new(location, length);
    demo.open();
    let acted = tokio::select! {
        () = demo.act() => true,
        () = interrupted() => false,
    };
    // If Ctrl-C ends the first round early, the host has not failed, but nothing was shown either.
    demo.close(acted).await
}

/// The running scenarios.
struct Demo<'a> {
    location: &'a HostLocation,
    printer: Printer,
    progress: Progress,
    seen: mpsc::Receiver<DeviceReport>,
    reports_tx: mpsc::Sender<DeviceReport>,
    devices: JoinSet<()>,
    switch: Option<mpsc::Sender<DeviceCommand>>,
    lamp: Option<mpsc::Sender<DeviceCommand>>,
    length: Option<Duration>,
    begun: Instant,
}

impl<'a> Demo<'a> {
    fn new(location: &'a HostLocation, length: Option<Duration>) -> Self {
        let (reports_tx, seen) = mpsc::channel(QUEUE);
        Self {
            location,
            printer: Printer::for_terminal(),
            progress: Progress::default(),
            seen,
            reports_tx,
            devices: JoinSet::new(),
            switch: None,
            lamp: None,
            length,
            begun: Instant::now(),
        }
    }

    fn open(&mut self) {
        title(self.location, &mut self.printer);
        self.printer.line("");
        self.printer.line("  hop-1     publishes what it gets; the plugin hop-relay sends it back with one hop more");
        self.printer.line("  switch-1  says awake or asleep; the plugin switch-wakes-device tells lamp-1");
        self.printer.line("  lamp-1    is what its config says, and is offline now and then");
        self.printer.line("");
    }

    /// Starts a device; returns the sender of its commands.
    fn start(&mut self, id: &str, kind: DeviceKind, rate: Option<f64>) -> mpsc::Sender<DeviceCommand> {
        let (order, commands) = mpsc::channel(4);
        let simulated = VirtualDevice {
            id: id.to_owned(),
            kind,
            host: self.location.mqtt.ip().to_string(),
            port: self.location.mqtt.port(),
            rate,
            every: None,
            commands: Some(commands),
        };
        self.devices.spawn(device::run(simulated, self.reports_tx.clone()));
        order
    }

    /// Runs both scenarios, the second one repeatedly.
    async fn act(&mut self) {
        let hop = self.start("hop-1", DeviceKind::Hop, Some(HOPS_PER_SECOND));
        self.switch = Some(self.start("switch-1", DeviceKind::Switch, None));
        self.lamp = Some(self.start("lamp-1", DeviceKind::Lamp, None));
        if !self.until(CONNECT_TIMEOUT, |progress| progress.all_connected()).await {
            self.progress.fail("not every device could connect and subscribe");
            return;
        }
        if !self.until(CONFIG_TIMEOUT, |progress| progress.hops_worked()).await {
            self.progress.fail("hop-1's record does not come back with one hop more");
            return;
        }
        loop {
            if !self.round().await {
                return;
            }
            if self.length.is_some_and(|length| self.begun.elapsed() + self.pause() * PAUSES / 2 > length) {
                break;
            }
        }
        // The switch is done; the hops continue until the time is over.
        while self.length.is_some_and(|length| self.begun.elapsed() < length) {
            let left = self.length.unwrap_or_default().saturating_sub(self.begun.elapsed());
            self.wait(left).await;
        }
        drop(hop);
    }

    /// The lamp falls asleep, goes offline, is set to wake, and wakes when it is back. Returns false if it does not.
    async fn round(&mut self) -> bool {
        self.begin(Step::LampSleeps, "switch-1 lets the lamp sleep").await;
        if !self.until(CONFIG_TIMEOUT, |progress| progress.lamp_is("asleep")).await {
            self.progress.fail("lamp-1 is not told to sleep");
            return false;
        }
        self.wait(self.pause()).await;
        self.begin(Step::LampLeaves, "the lamp is unplugged").await;
        if !self.until(CONFIG_TIMEOUT, |progress| !progress.lamp_is_there()).await {
            self.progress.fail("lamp-1 does not go offline");
            return false;
        }
        self.wait(self.pause()).await;
        self.begin(Step::SwitchSays, "switch-1 says awake, but lamp-1 is offline; the config is kept").await;
        self.wait(self.pause()).await;
        self.printer.event_line("", Colour::Plain, "the lamp's plug is in again");
        self.progress.begin(Step::LampReturns);
        self.lamp = Some(self.start("lamp-1", DeviceKind::Lamp, None));
        if !self.until(CONNECT_TIMEOUT, |progress| progress.lamp_is_there()).await {
            self.progress.fail("lamp-1 cannot connect again");
            return false;
        }
        if !self.until(CONFIG_TIMEOUT, |progress| progress.lamp_is("awake")).await {
            self.progress.fail("lamp-1 comes back and is not told to wake");
            return false;
        }
        if let Some(after) = self.progress.woke() {
            let text = format!("lamp-1 woke {after:.1?} after it connected");
            let text = self.printer.paint(Colour::Green, &text);
            self.printer.event_line("", Colour::Plain, &text);
        }
        self.wait(self.pause()).await;
        true
    }

    /// Prints the step and sends its command.
    async fn begin(&mut self, step: Step, text: &str) {
        self.printer.event_line("", Colour::Plain, text);
        self.progress.begin(step);
        let publish = |state: &'static str| DeviceCommand::Publish(Bytes::from_static(state.as_bytes()));
        let (device, command) = match step {
            Step::LampSleeps => (&self.switch, publish(r#"{"state":"asleep"}"#)),
            Step::SwitchSays => (&self.switch, publish(r#"{"state":"awake"}"#)),
            Step::LampLeaves | Step::LampReturns => (&self.lamp, DeviceCommand::Disconnect),
        };
        if let Some(device) = device {
            // The channel has room for all commands of a round. A device that has ended is noticed by its missing events.
            let _ = device.try_send(command);
        }
    }

    fn pause(&self) -> Duration {
        self.length.map_or(PAUSE, |length| PAUSE.min(length / PAUSES))
    }

    async fn wait(&mut self, time: Duration) {
        self.until(time, |_| false).await;
    }

    /// Prints events until `done`, or until the time limit. Returns true when done.
    async fn until(&mut self, limit: Duration, done: impl Fn(&Progress) -> bool) -> bool {
        let limit = At::now() + limit;
        while !done(&self.progress) {
            match timeout_at(limit, self.seen.recv()).await {
                Ok(Some(seen)) => {
                    self.progress.record(&seen, Instant::now());
                    self.printer.show(&seen);
                }
                Ok(None) | Err(_) => return false,
            }
        }
        true
    }

    /// Ends the devices and prints the verdict and further commands.
    async fn close(mut self, acted: bool) -> bool {
        let took = self.begun.elapsed();
        self.switch = None;
        self.lamp = None;
        // Dropping the receiver ends all devices.
        self.seen.close();
        let _ =
            tokio::time::timeout(DISCONNECT_TIMEOUT, async { while self.devices.join_next().await.is_some() {} }).await;
        self.devices.abort_all();
        let verdicts = self.progress.verdicts(took);
        let worked = conclude(&mut self.printer, &verdicts);
        if !worked && !acted {
            self.printer.line("  (it was interrupted)");
        }
        self.where_next();
        worked
    }

    fn where_next(&mut self) {
        let HostLocation { mqtt, admin, plugins, data, .. } = self.location;
        let mut lines = vec![String::new(), self.printer.paint(Colour::Bold, "Where to look next")];
        lines.push(format!("  plugins  {}  (a component dropped in there runs)", plugins.display()));
        lines.push(format!("  data     {}", data.display()));
        lines.push(format!("  API      {admin}"));
        lines.push(format!("  MQTT     {mqtt}; while a host runs there, be a second switch:"));
        lines.push(format!("           {}", example(*mqtt)));
        for line in lines {
            self.printer.line(&line);
        }
    }
}

/// A shell command that wakes the lamp.
fn example(mqtt: SocketAddr) -> String {
    let (host, port) = (mqtt.ip(), mqtt.port());
    let host = if host == SocketAddr::from(([127, 0, 0, 1], 0)).ip() { String::new() } else { format!("-h {host} ") };
    format!("mosquitto_pub {host}-i switch-2 -p {port} -t /devices/switch-2/events -q 1 -m '{{\"state\":\"awake\"}}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_can_be_pasted_into_a_shell() {
        let line = example(SocketAddr::from(([127, 0, 0, 1], 1883)));
        assert_eq!(
            line,
            r#"mosquitto_pub -i switch-2 -p 1883 -t /devices/switch-2/events -q 1 -m '{"state":"awake"}'"#
        );
    }
}
