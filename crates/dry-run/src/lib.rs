//! Dry runs: executions of a plugin in its sandbox against a *world* that answers its calls of the host, with effects that are
//! collected and not carried out. The world is the live registry, a recording, or what a test case describes. Also writes the
//! recordings. Never changes anything of a host.

pub mod call;
pub mod case;
pub mod compare;
pub mod effect;
pub mod event;
pub mod forked;
pub mod live;
pub mod mask;
pub mod names;
pub mod offline;
pub mod own_state;
pub mod payload;
pub mod recorded;
pub mod recorder;
pub mod recording;
pub mod replay;
pub mod shadow_report;
pub mod sink;
pub mod world;
