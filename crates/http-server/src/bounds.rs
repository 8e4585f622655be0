//! The limits of one kind of listener, with their names.

use switchbox_model::limits::{LimitName, names};
use switchbox_transport::admission;

/// The limits of one kind of listener, with their names.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// What is served, for the log: "the admin API".
    pub what: &'static str,
    pub admission: admission::Options,
    /// Headers of one call.
    pub headers: usize,
    /// Bytes of one call's URL and headers together.
    pub head_bytes: usize,
    pub names: Names,
}

/// The limits as the metrics name them.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub accept: LimitName,
    pub handshake_time: LimitName,
    pub head_bytes: LimitName,
    pub head_time: LimitName,
    /// Of the rest of a body that its call has not read.
    pub unread_bytes: LimitName,
    pub unread_time: LimitName,
    pub write_time: LimitName,
}

impl Names {
    pub const ADMIN: Self = Self {
        accept: names::ADMIN_ACCEPT,
        handshake_time: names::ADMIN_HANDSHAKE_TIME,
        head_bytes: names::ADMIN_HEAD_BYTES,
        head_time: names::ADMIN_HEAD_TIME,
        unread_bytes: names::ADMIN_UNREAD_BYTES,
        unread_time: names::ADMIN_UNREAD_TIME,
        write_time: names::ADMIN_WRITE_TIME,
    };
    pub const HUB_API: Self = Self {
        accept: names::HUB_API_ACCEPT,
        handshake_time: names::HUB_API_HANDSHAKE_TIME,
        head_bytes: names::HUB_API_HEAD_BYTES,
        head_time: names::HUB_API_HEAD_TIME,
        unread_bytes: names::HUB_API_UNREAD_BYTES,
        unread_time: names::HUB_API_UNREAD_TIME,
        write_time: names::HUB_API_WRITE_TIME,
    };
}
