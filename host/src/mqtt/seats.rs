//! How many connections each address has. Addresses of this machine are not counted: who is here can do worse.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    each: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of an address; dropped with it.
#[derive(Debug)]
pub(super) struct Seat {
    address: IpAddr,
    seats: Seats,
}

impl Seats {
    /// So many for each address.
    pub(super) fn new(each: usize) -> Self {
        Self { each, taken: Arc::default() }
    }

    /// `Err`: the address has all that it may have. `Ok(None)`: it is not counted.
    pub(super) fn take(&self, address: IpAddr) -> Result<Option<Seat>, ()> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Ok(None);
        }
        let mut all = self.taken.lock();
        let taken = all.entry(address).or_default();
        if *taken >= self.each {
            return Err(());
        }
        *taken += 1;
        Ok(Some(Seat { address, seats: self.clone() }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.seats.taken.lock();
        if let Some(taken) = all.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_others_their_own() {
        let seats = Seats::new(2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = seats.take(address("192.0.2.1")).unwrap();
        let _other = seats.take(address("::ffff:192.0.2.1")).unwrap();
        assert!(seats.take(address("192.0.2.1")).is_err());
        assert!(seats.take(address("192.0.2.2")).is_ok());
        drop(one);
        assert!(seats.take(address("192.0.2.1")).is_ok());
        assert!((0..10).all(|_| seats.take(address("127.0.0.1")).is_ok_and(|seat| seat.is_none())));
    }

    #[test]
    fn an_address_that_left_is_forgotten() {
        let seats = Seats::new(2);
        drop(seats.take("192.0.2.1".parse().unwrap()).unwrap());
        assert!(seats.taken.lock().is_empty());
    }
}
