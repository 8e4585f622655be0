//! Admission of connections: how many there may be, in all and of one address, how many may come in a
//! second, and which is closed when too many are unauthenticated. Every listener has one; what is shed is closed before a
//! byte of it is read, as that costs least. Never reads or writes a connection.

mod connection_table;
mod options;
mod rate;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::connection_table::ConnectionTable;
pub use self::{
    options::{Names, Options},
    rate::{Rate, Rates},
};
use switchbox_model::limits::{self, LimitName};
use switchbox_support::{log_limit::SiteLimit, metrics::Metrics};

/// Lines a minute about refused connections; later ones say how many there are.
const LOGGED: u32 = 5;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    metrics: Metrics,
    connection_table: Mutex<ConnectionTable>,
    refusals_logged: SiteLimit,
    /// The rates of new connections: of each address, and of all together.
    rates: Rates<IpAddr>,
    all: Rates<()>,
}

/// A connection that was admitted; dropped with it.
#[derive(Debug)]
pub struct ConnectionPermit {
    admission: Arc<Inner>,
    /// `None` for connections of this machine, which are not counted.
    address: Option<IpAddr>,
    number: u64,
    leave: Arc<Notify>,
}

/// One customer has a whole /64 of IPv6 addresses.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

impl Admission {
    #[must_use]
    pub fn new(options: Options, metrics: Metrics) -> Self {
        let rates = Rates::new(limits::ADDRESSES);
        let (connection_table, refusals_logged) = (Mutex::default(), SiteLimit::new(LOGGED));
        Self(Arc::new(Inner { options, metrics, connection_table, refusals_logged, rates, all: Rates::new(1) }))
    }

    /// Admits a connection. Returns `None` and counts the limit if there is no room.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Option<ConnectionPermit> {
        self.admit_at(address, Instant::now())
    }

    fn admit_at(&self, address: IpAddr, now: Instant) -> Option<ConnectionPermit> {
        // Loopback addresses are not counted: a process on this machine has cheaper ways to harm the host.
        let address = Some(address.to_canonical()).filter(|address| !address.is_loopback()).map(network);
        let leave = Arc::new(Notify::new());
        let entered = self.check_rate(address, now).and_then(|()| {
            let mut connection_table = self.0.connection_table.lock();
            connection_table.enter(&self.0.options, address, leave.clone(), now)
        });
        match entered {
            Ok(number) => Some(ConnectionPermit { admission: self.0.clone(), address, number, leave }),
            Err(limit) => {
                self.0.shed(limit, address);
                None
            }
        }
    }

    /// An address first uses up what is its own, so that a flood from one is shed before it costs others anything.
    fn check_rate(&self, address: Option<IpAddr>, now: Instant) -> Result<(), LimitName> {
        let Options { per_second, per_address, names, .. } = self.0.options;
        if let Some(address) = address {
            // All that may be there may also come at once, as after an outage.
            let (burst, per_second) = (per_address as f64, limits::CONNECTS_PER_SECOND_PER_ADDRESS);
            let taken = self.0.rates.take_at(address, Rate { burst, per_second }, now);
            taken.map_err(|_| names.per_second_per_address)?;
        }
        let rate = Rate { burst: 2.0 * f64::from(per_second), per_second: f64::from(per_second) };
        self.0.all.take_at((), rate, now).map_err(|_| names.per_second)
    }
}

impl Inner {
    fn shed(&self, limit: LimitName, address: Option<IpAddr>) {
        self.metrics.limit(limit);
        if let Some(more) = self.refusals_logged.allow() {
            let address = address.map_or_else(|| "this machine".to_owned(), |address| address.to_string());
            tracing::warn!(%limit, address, "new connections are closed: there are too many{more}");
        }
    }
}

impl ConnectionPermit {
    /// The client has authenticated.
    pub fn mark_authenticated(&self) {
        self.admission.connection_table.lock().mark_authenticated(self.number);
    }

    /// Returns when the connection has to be closed, to make room for newer unauthenticated connections.
    pub async fn eviction_requested(&self) {
        self.leave.notified().await;
        self.admission.metrics.limit(self.admission.options.names.unauthenticated);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.admission.connection_table.lock().leave(self.number, self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{connection_table::UNAUTHENTICATED_TIMEOUT, *};

    const OPTIONS: Options =
        Options { connections: 5, per_address: 2, per_second: 10, unauthenticated: 3, names: Names::MQTT };

    fn admission(options: Options) -> Admission {
        Admission::new(options, Metrics::default())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    impl Admission {
        fn hits(&self, limit: limits::LimitName) -> u64 {
            self.0.metrics.limit_hits(limit)
        }

        /// Known at once, so that unauthenticated connections do not matter.
        fn enter_known(&self, from: &str, now: Instant) -> Option<ConnectionPermit> {
            self.admit_at(address(from), now).inspect(ConnectionPermit::mark_authenticated)
        }
    }

    #[test]
    fn an_address_has_so_many_connections_and_others_their_own() {
        let (admission, now) = (admission(OPTIONS), Instant::now());
        let later = now + Duration::from_secs(60);
        let one = admission.enter_known("192.0.2.1", now).unwrap();
        let _other = admission.enter_known("::ffff:192.0.2.1", now).unwrap();
        assert!(admission.enter_known("192.0.2.1", later).is_none());
        assert_eq!(admission.hits(limits::names::CONNECTIONS_PER_ADDRESS), 1);
        let _elsewhere = admission.enter_known("192.0.2.2", later).unwrap();
        drop(one);
        assert!(admission.enter_known("192.0.2.1", later).is_some());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let (admission, now) = (admission(OPTIONS), Instant::now());
        let _held: Vec<_> = ["2001:db8::1", "2001:db8::2"].map(|from| admission.enter_known(from, now).unwrap()).into();
        assert!(admission.enter_known("2001:db8::3", now).is_none());
        assert!(admission.enter_known("2001:db8:0:1::1", now).is_some());
    }

    #[test]
    fn there_are_so_many_in_all_of_any_address() {
        let (admission, now) = (admission(OPTIONS), Instant::now());
        let mut held: Vec<_> = (0..5).map(|_| admission.enter_known("127.0.0.1", now).unwrap()).collect();
        assert!(admission.enter_known("192.0.2.1", now).is_none());
        assert_eq!(admission.hits(limits::names::CONNECTIONS), 1);
        held.pop();
        assert!(admission.enter_known("192.0.2.1", now).is_some());
        drop(held);
        assert!(admission.0.connection_table.lock().is_empty(), "the entry of a closed connection is removed");
    }

    #[test]
    fn only_so_many_come_in_a_second_and_a_flood_from_one_address_is_its_own() {
        let options = Options { connections: 1_000, per_address: 4, per_second: 10, ..OPTIONS };
        let (admission, now) = (admission(options), Instant::now());
        let comes = |from: &str, at| admission.enter_known(from, at).is_some();
        let flood = (0..100).filter(|_| comes("192.0.2.1", now)).count();
        assert_eq!((flood, admission.hits(limits::names::CONNECTS_PER_SECOND_PER_ADDRESS)), (4, 96));
        assert!(comes("192.0.2.2", now));
        let all = (0..100).filter(|_| comes("127.0.0.1", now)).count();
        assert_eq!(all, 20 - 5, "twice the rate at once");
        assert_eq!(admission.hits(limits::names::CONNECTS_PER_SECOND), 85);
        let after_a_second = (0..100).filter(|_| comes("127.0.0.1", now + Duration::from_secs(1))).count();
        assert_eq!(after_a_second, 10);
    }

    #[tokio::test]
    async fn the_oldest_unauthenticated_connection_makes_room_once_it_had_its_time() {
        let (admission, now) = (admission(OPTIONS), Instant::now());
        let enter = |at| admission.admit_at(address("127.0.0.1"), at);
        let mut held: Vec<_> = (0..3).map(|_| enter(now).unwrap()).collect();
        assert!(enter(now).is_none(), "all came just now");
        assert_eq!(admission.hits(limits::names::UNAUTHENTICATED_CONNECTIONS), 1);
        held[0].mark_authenticated();
        let fourth = enter(now).unwrap();
        let later = now + UNAUTHENTICATED_TIMEOUT;
        let fifth = enter(later).unwrap();
        held[1].eviction_requested().await;
        assert_eq!(admission.hits(limits::names::UNAUTHENTICATED_CONNECTIONS), 2);
        held.clear();
        drop((fourth, fifth));
        assert!(admission.0.connection_table.lock().is_empty());
    }
}
