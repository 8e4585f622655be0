//! How often a caller may call.

use std::net::IpAddr;

use switchbox_model::limits;
use switchbox_transport::admission::{self, Rate};

/// The owner of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    Token(String),
    /// A caller without a valid token.
    Unauthenticated(IpAddr),
    /// A caller of something that needs no token.
    Address(IpAddr),
}

pub(super) type Rates = admission::Rates<Caller>;

/// The rate of calls with a valid token.
pub(super) const CALLS: Rate = Rate { burst: limits::ADMIN_CALL_BURST, per_second: limits::ADMIN_CALLS_PER_SECOND };
/// The rate of calls without one.
pub(super) const UNAUTHENTICATED: Rate =
    Rate { burst: limits::ADMIN_UNAUTHENTICATED_BURST, per_second: limits::ADMIN_UNAUTHENTICATED_PER_SECOND };
