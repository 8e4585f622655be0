//! What hostile clients do: one row an attack, run against a real host while another device is served. Bounded: no row
//! opens more than [`MOST_CONNECTIONS`] connections at a time. `tests/hostile.rs` asserts over the rows,
//! `examples/hostile.rs` measures with them.

mod admin;
mod amqp;
mod attack;
mod components;
mod floods;
mod guests;
mod healthy;
mod machine;
mod operator;
mod packets;
mod sessions;
mod shares;
mod target;
mod tokens;
mod transport;
mod web;
pub mod wire;

pub use self::{
    attack::{Attack, Row},
    healthy::Healthy,
    target::{Target, resident_mib},
    wire::{Conn, Login},
};
use self::{
    attack::{SLOW_INTERVAL, row},
    target::RSA_PUBLIC,
};
use crate::now;

/// Connections that one row has open at a time.
pub const MOST_CONNECTIONS: usize = 1_100;

/// The table.
#[must_use]
pub fn rows() -> Vec<Row> {
    [
        transport::ROWS,
        packets::ROWS,
        sessions::ROWS,
        shares::ROWS,
        floods::ROWS,
        tokens::ROWS,
        web::ROWS,
        admin::ROWS,
        amqp::ROWS,
        components::ROWS,
        guests::ROWS,
        operator::ROWS,
        machine::ROWS,
    ]
    .concat()
}
