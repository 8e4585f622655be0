//! Slows down attempts to guess passwords. It counts failures for an address together with the claimed client, and for an address
//! alone. It
//! does not count them for a client alone, because then any address could lock a device out. Pure except for its table.
//!
//! Only passwords are throttled: a signature cannot be guessed, so a valid token or certificate is accepted after any number of
//! invalid ones.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::password::PasswordCaller;
use switchbox_model::limits::{self, LimitName};
use switchbox_transport::admission::network;

/// Failures that cost nothing yet: an address has many devices, each may once have an old password.
const FREE_FAILURES: [u32; 2] = [5, 50];
/// The first pause; every further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Failures are forgotten after this time without another one.
const FORGET_FAILURES_AFTER: Duration = Duration::from_secs(600);
/// How long it is remembered that a client was accepted from an address.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Why an attempt is refused without a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Throttled {
    #[error("too many wrong passwords for this client from this address; the next attempt is checked in {0:?}")]
    Client(Duration),
    #[error("too many wrong passwords from this address; the next attempt is checked in {0:?}")]
    Address(Duration),
    #[error("too many passwords from this address are being checked")]
    Busy,
}

impl Throttled {
    /// As the metrics name it.
    pub(super) fn limit(self) -> LimitName {
        match self {
            Self::Client(_) => limits::names::WRONG_PASSWORDS_OF_CLIENT,
            Self::Address(_) => limits::names::WRONG_PASSWORDS_OF_ADDRESS,
            Self::Busy => limits::names::PASSWORD_CHECKS_PER_ADDRESS,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    /// With the hash of the client's id.
    Client(IpAddr, u64),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Record {
    failures: u32,
    last: Instant,
    until: Instant,
    /// The client was accepted from this address: until this time, failures of others there do not count against it.
    known_until: Option<Instant>,
}

impl Record {
    fn is_known(&self, now: Instant) -> bool {
        self.known_until.is_some_and(|until| now < until)
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.is_known(now) || now.duration_since(self.last) < FORGET_FAILURES_AFTER
    }
}

#[derive(Debug, Default)]
struct Table {
    records: HashMap<Subject, Record>,
    /// Of an address, by whether the client is known there.
    under_way: HashMap<(IpAddr, bool), usize>,
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Throttle {
    table: Arc<Mutex<Table>>,
    /// The hash has a random key, so that an attacker cannot choose client ids that count as one.
    hasher: RandomState,
}

/// An attempt that is being checked. If it is dropped without a result, it does not count.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    address: IpAddr,
    client: Subject,
    known: bool,
}

impl Throttle {
    pub(super) fn begin(&self, address: IpAddr, client: &str, now: Instant) -> Result<Attempt<'_>, Throttled> {
        let address = network(address);
        let client = Subject::Client(address, self.hasher.hash_one(client));
        let mut table = self.table.lock();
        let record = table.records.get(&client);
        if let Some(wait) = record.and_then(|record| record.until.checked_duration_since(now)).filter(|w| !w.is_zero())
        {
            return Err(Throttled::Client(wait));
        }
        let known = record.is_some_and(|record| record.is_known(now));
        let of_all = table.records.get(&Subject::Address(address));
        if let Some(wait) = of_all.and_then(|record| record.until.checked_duration_since(now)).filter(|w| !w.is_zero())
            && !known
        {
            return Err(Throttled::Address(wait));
        }
        let under_way = table.under_way.entry((address, known)).or_default();
        if *under_way >= limits::PASSWORD_CHECKS_PER_ADDRESS {
            return Err(Throttled::Busy);
        }
        *under_way += 1;
        Ok(Attempt { throttle: self, address, client, known })
    }
}

impl Attempt<'_> {
    pub(super) fn password_caller(&self) -> PasswordCaller {
        if self.known { PasswordCaller::Known } else { PasswordCaller::Unknown }
    }

    pub(super) fn succeeded(self, now: Instant) {
        let record = Record { failures: 0, last: now, until: now, known_until: Some(now + KNOWN_FOR) };
        self.throttle.table.lock().store_record(self.client, record, now);
    }

    pub(super) fn failed(self, now: Instant) {
        let mut table = self.throttle.table.lock();
        for (subject, free) in [self.client, Subject::Address(self.address)].into_iter().zip(FREE_FAILURES) {
            let before = table.records.get(&subject);
            let recent = before.filter(|record| now.duration_since(record.last) < FORGET_FAILURES_AFTER);
            let failures = recent.map_or(0, |record| record.failures).saturating_add(1);
            let pause = match failures.checked_sub(free + 1) {
                None => Duration::ZERO,
                Some(over) => FIRST_PAUSE.saturating_mul(1 << over.min(16)).min(LONGEST_PAUSE),
            };
            let known_until = before.and_then(|record| record.known_until);
            table.store_record(subject, Record { failures, last: now, until: now + pause, known_until }, now);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut table = self.throttle.table.lock();
        let key = (self.address, self.known);
        if let Some(under_way) = table.under_way.get_mut(&key) {
            *under_way -= 1;
            if *under_way == 0 {
                table.under_way.remove(&key);
            }
        }
    }
}

impl Table {
    /// Makes room: first by removing old entries, then the one that was used longest ago. Entries of clients that authenticated
    /// before are removed only when there are no others, so that many addresses with many names cannot displace known clients.
    fn store_record(&mut self, subject: Subject, record: Record, now: Instant) {
        if self.records.len() >= limits::FAILURES_KEPT && !self.records.contains_key(&subject) {
            self.records.retain(|_, record| record.is_recent(now));
            if self.records.len() >= limits::FAILURES_KEPT
                && let Some(oldest) = self
                    .records
                    .iter()
                    .min_by_key(|(_, record)| (record.is_known(now), record.last))
                    .map(|(subject, _)| *subject)
            {
                self.records.remove(&oldest);
            }
        }
        self.records.insert(subject, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn fail(throttle: &Throttle, address: IpAddr, client: &str, times: usize, now: Instant) -> usize {
        (0..times)
            .take_while(|_| throttle.begin(address, client, now).map(|attempt| attempt.failed(now)).is_ok())
            .count()
    }

    #[test]
    fn guessing_is_slowed_down_for_the_address_and_the_client_alone() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(fail(&throttle, HERE, "lamp-1", 100, now), 6);
        assert_eq!(throttle.begin(HERE, "lamp-1", now).unwrap_err(), Throttled::Client(FIRST_PAUSE));
        assert!(throttle.begin(HERE, "lamp-2", now).is_ok(), "another client of the address");
        assert!(throttle.begin(THERE, "lamp-1", now).is_ok(), "the client from another address");
        let later = now + FIRST_PAUSE;
        throttle.begin(HERE, "lamp-1", later).unwrap().failed(later);
        assert_eq!(throttle.begin(HERE, "lamp-1", later).unwrap_err(), Throttled::Client(2 * FIRST_PAUSE));
        let later = later + 2 * FIRST_PAUSE;
        throttle.begin(HERE, "lamp-1", later).unwrap().succeeded(later);
        assert!(throttle.begin(HERE, "lamp-1", later).is_ok());
    }

    #[test]
    fn an_address_that_tries_many_clients_is_throttled_but_no_client_that_was_accepted_from_it() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.begin(HERE, "lamp-1", now).unwrap().succeeded(now);
        let tried = (0..100).take_while(|n| fail(&throttle, HERE, &format!("x-{n}"), 1, now) == 1).count();
        assert_eq!(tried, 51);
        assert!(matches!(throttle.begin(HERE, "lamp-3", now).unwrap_err(), Throttled::Address(_)));
        assert!(throttle.begin(HERE, "lamp-1", now).is_ok());
        assert!(throttle.begin(THERE, "lamp-3", now).is_ok());
    }

    #[test]
    fn one_address_cannot_take_all_checks() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let mut under_way: Vec<_> = (0..limits::PASSWORD_CHECKS_PER_ADDRESS)
            .map(|n| throttle.begin(HERE, &n.to_string(), now).unwrap())
            .collect();
        assert_eq!(throttle.begin(HERE, "x", now).unwrap_err(), Throttled::Busy);
        assert!(throttle.begin(THERE, "x", now).is_ok());
        throttle.table.lock().store_record(
            Subject::Client(HERE, throttle.hasher.hash_one("known")),
            Record { failures: 0, last: now, until: now, known_until: Some(now + KNOWN_FOR) },
            now,
        );
        assert!(throttle.begin(HERE, "known", now).is_ok(), "unknown callers do not take the places of known ones");
        under_way.pop();
        assert!(throttle.begin(HERE, "x", now).is_ok());
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..limits::FAILURES_KEPT as u32 + 10 {
            let address = IpAddr::from(n.to_be_bytes());
            throttle.begin(address, "lamp-1", now).unwrap().failed(now);
        }
        assert_eq!(throttle.table.lock().records.len(), limits::FAILURES_KEPT);
        let later = now + FORGET_FAILURES_AFTER;
        throttle.begin(HERE, "lamp-1", later).unwrap().failed(later);
        assert_eq!(throttle.table.lock().records.len(), 2);
        assert!(throttle.table.lock().under_way.is_empty());
    }

    #[test]
    fn a_client_that_was_accepted_is_known_for_days_however_many_others_fail() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let caller = |at| throttle.begin(HERE, "lamp-1", at).unwrap().password_caller();
        assert_eq!(caller(now), PasswordCaller::Unknown);
        throttle.begin(HERE, "lamp-1", now).unwrap().succeeded(now);
        let later = now + KNOWN_FOR / 2;
        for n in 0..limits::FAILURES_KEPT as u32 {
            throttle.begin(IpAddr::from(n.to_be_bytes()), "lamp-1", later).unwrap().failed(later);
        }
        assert_eq!(caller(later), PasswordCaller::Known);
        throttle.begin(HERE, "lamp-1", later).unwrap().failed(later);
        assert_eq!(caller(later), PasswordCaller::Known);
        assert_eq!(caller(now + KNOWN_FOR), PasswordCaller::Unknown);
    }
}
