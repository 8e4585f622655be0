//! Tests of the API over a real socket and a real store.

mod bridge;
mod calls;
mod commands;
mod concurrent;
mod dry_runs;
mod enrollments;
mod following;
mod gateways;
mod guarding;
mod hubs;
mod looking;
mod rollbacks;
mod sending;
mod twins;
