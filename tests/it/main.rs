//! The end-to-end tests: the real program, real clients, real kills. One binary, so that it links once; `cargo test -p
//! switchbox-tests --test it crash::` runs one suite.

mod admin;
mod azure;
mod azure_service;
mod backlog;
mod clients;
mod commands;
mod console;
mod crash;
mod crash_admin;
mod crash_commands;
mod crash_timers;
mod credentials;
mod deploy;
mod examples;
mod first_cause;
mod first_steps;
mod gateways;
mod google_client;
mod hostile;
mod lifecycle;
mod loops;
mod methods;
mod network;
mod normative_durable;
mod overload;
mod plugins;
mod restart;
mod sandbox;
mod services;
mod tidy;
mod timers;
mod topics;
mod twin;
mod upkeep;
mod why;
