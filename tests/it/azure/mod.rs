//! Clients of Azure IoT Hub against the real program: their authentication, and what they send and receive.

mod amqp;
mod files;
mod https;
mod identity;
mod messages;
mod protocols;
mod provisioning;
mod sdk;
mod websockets;
