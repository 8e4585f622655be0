//! What hostile clients do: each attack is a row, which runs against a real host while another device is measured. No row opens
//! more than [`MAX_CONNECTIONS`] connections at a time. `tests/hostile.rs` asserts the bounds of each row, `examples/hostile.rs`
//! measures them.

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
mod uploads;
mod web;
pub mod wire;

pub use self::{
    attack::{Attack, MAX_CONNECTIONS, Row},
    healthy::Healthy,
    target::{Target, resident_mib},
    wire::{Conn, Login},
};
use self::{
    attack::{SLOW_INTERVAL, row},
    target::RSA_PUBLIC,
};
use crate::now;

/// The table of attacks.
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
        uploads::ROWS,
        components::ROWS,
        guests::ROWS,
        operator::ROWS,
        machine::ROWS,
    ]
    .concat()
}
