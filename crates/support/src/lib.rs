//! What every part of the host uses and that is independent of devices: the clock, metrics, histograms, memory, limits on log lines, supervised
//! tasks, threads and their priorities, and the only way to standard output.

pub mod clock;
pub mod exposition;
pub mod fd_exhaustion;
pub mod histogram;
pub mod log_limit;
pub mod memory;
pub mod metrics;
pub mod tasks;
pub mod terminal;
pub mod threads;
