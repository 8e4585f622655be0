//! Clients of Azure IoT Hub against the real program: their authentication, and what they send and receive.

mod files;
mod https;
mod identity;
mod messages;
mod provisioning;
mod sdk;
mod websockets;
