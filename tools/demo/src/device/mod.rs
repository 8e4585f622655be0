//! A simulated device that uses MQTT 3.1.1 through rumqttc. It reports its events to a channel and prints nothing.

mod behaviour;
mod pace;
mod report;

use std::{
    future::pending,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing};
use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until},
};

use behaviour::Behaviour;

pub(super) use report::{DeviceEvent, DeviceReport};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Messages that may wait for the connection; further ones are dropped and reported.
const QUEUE: usize = 64;

/// What a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DeviceKind {
    /// Starts with hops 0 and publishes every config that it receives
    Hop,
    /// Publishes awake and asleep alternately
    Switch,
    /// Follows its config, acknowledges commands, and answers every method call with 200 and the call's payload
    Lamp,
}

/// A command to a running device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeviceCommand {
    /// Publish this as telemetry.
    Publish(Bytes),
    /// Disconnect and end.
    Disconnect,
}

/// A simulated device.
#[derive(Debug)]
pub(super) struct VirtualDevice {
    /// Also its client id: the device's id alone, in the default registry.
    pub(super) id: String,
    pub(super) kind: DeviceKind,
    pub(super) host: String,
    pub(super) port: u16,
    /// Maximum messages a second. `None` if there is no maximum: the next is sent when the last is answered.
    pub(super) rate: Option<f64>,
    /// How often a switch publishes. `None` if it publishes only on command.
    pub(super) every: Option<Duration>,
    /// `None` if the device gets no commands. Closing the channel is not a command.
    pub(super) commands: Option<mpsc::Receiver<DeviceCommand>>,
}

/// Runs until the command to disconnect, or until the receiver of `events` is gone.
pub(super) async fn run(mut device: VirtualDevice, events: mpsc::Sender<DeviceReport>) {
    let mut options = MqttOptions::new(&device.id, &device.host, device.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(true);
    let (client, mut connection) = AsyncClient::new(options, QUEUE);
    connection.network_options.set_tcp_nodelay(true);
    let mut commands = device.commands.take();
    let mut behaviour = Behaviour::new(device, client, events);
    let mut retry = None;
    loop {
        // A poll is always completed, because rumqttc does not document that it may be dropped.
        let poll = poll_after(retry.take(), &mut connection);
        tokio::pin!(poll);
        let polled = loop {
            tokio::select! {
                polled = &mut poll => break polled,
                command = next_command(&mut commands) => match command {
                    Some(DeviceCommand::Publish(payload)) => behaviour.publish(payload).await,
                    Some(DeviceCommand::Disconnect) if behaviour.disconnect().await => return,
                    Some(DeviceCommand::Disconnect) => {}
                    None => commands = None,
                },
                () = wait_until(behaviour.due) => behaviour.act_when_due().await,
                () = behaviour.events.closed() => return,
            }
        };
        match polled {
            Ok(Event::Incoming(packet)) => behaviour.incoming(packet).await,
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return behaviour.report(DeviceEvent::Left).await,
            Ok(Event::Outgoing(_)) => {}
            Err(_) if behaviour.leaving => return behaviour.report(DeviceEvent::Left).await,
            Err(error) => retry = Some(behaviour.offline(&error).await),
        }
    }
}

async fn poll_after(wait: Option<Duration>, connection: &mut EventLoop) -> Result<Event, ConnectionError> {
    if let Some(wait) = wait {
        sleep(wait).await;
    }
    connection.poll().await
}

async fn next_command(commands: &mut Option<mpsc::Receiver<DeviceCommand>>) -> Option<DeviceCommand> {
    match commands {
        Some(commands) => commands.recv().await,
        None => pending().await,
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
