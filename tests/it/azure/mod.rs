//! Clients of Azure IoT Hub against the real program: who they are, and what they send and get.

mod https;
mod identity;
mod messages;
mod provisioning;
mod sdk;
