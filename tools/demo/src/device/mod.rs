//! A simulated device that uses MQTT 3.1.1 through rumqttc. It reports its events to a channel and prints nothing.

mod behaviour;
mod pace;
mod report;
mod virtual_device;

use std::{
    future::pending,
    time::{Duration, Instant},
};

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing};
use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until},
};

use behaviour::Behaviour;

pub(super) use report::{DeviceEvent, DeviceReport};
pub(super) use virtual_device::{DeviceCommand, DeviceKind, VirtualDevice};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Messages that may wait for the connection; further ones are dropped and reported.
const QUEUE: usize = 64;

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
