//! Delivers committed effects to the connections of their devices, and journals what the devices acknowledge and answer. It does
//! not know topics or packets.

mod command_expiry;
mod command_locks;
mod command_window;
mod commands;
mod fetching;
mod handle;
mod link;
mod methods;
mod online;
mod online_device;
mod orphaned_connections;
mod publish_queue;
mod publisher;
mod queue_reader;
mod sink;
mod takeover;
mod traces;
mod waiting_calls;

pub use self::{
    commands::CancelError,
    fetching::{Fetched, FetchedOutcome, SettleError},
    handle::{Handle, HostHandles},
    link::{DeliveryReport, DownlinkKind, Link, Outbound, OutboundCall, OutboundCommand},
    methods::CallError,
    online::Online,
    publisher::Publisher,
    takeover::RecentTakeover,
    traces::traceparent,
    waiting_calls::Response,
};
