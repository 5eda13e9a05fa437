//! Places for connections that have not logged in yet (nor finished their TLS handshake): few over all, fewer for one
//! address, so that strangers cannot keep users out. A place is held from accept to login.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// How many there are, and who has them.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    /// None is zero.
    by_address: HashMap<IpAddr, usize>,
}

/// One place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    /// All are taken.
    #[error("{0} connections have not logged in yet (kafka.unauthenticated_max)")]
    Full(usize),
    /// This address has its part.
    #[error(
        "{0} connections of this address have not logged in yet (kafka.unauthenticated_per_address_max)"
    )]
    FullForAddress(usize),
}

impl Places {
    /// `max` places, of which one address may have `per_address_max`.
    pub(crate) fn new(max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_address_max,
            taken: Mutex::default(),
        })
    }

    /// A place for a client at `address`.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, NoPlace> {
        let address = neighbourhood(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.count >= self.max {
            return Err(NoPlace::Full(self.max));
        }
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.per_address_max {
            return Err(NoPlace::FullForAddress(self.per_address_max));
        }
        taken.by_address.insert(address, of_address + 1);
        taken.count += 1;
        Ok(Place {
            places: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.count = taken.count.saturating_sub(1);
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the 64 bits of an IPv6 address that name a network, since whoever
/// has one of its addresses has them all.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn places_are_few_for_one_address_and_for_all_and_come_back() {
        let places = Places::new(3, 2);
        let first = places.take(ip("10.0.0.1")).expect("there is one");
        let second = places.take(ip("10.0.0.1")).expect("there is one");
        let third = places.take(ip("10.0.0.1"));
        assert_eq!(third.err(), Some(NoPlace::FullForAddress(2)));
        let other = places.take(ip("10.0.0.2")).expect("there is one");
        assert_eq!(places.take(ip("10.0.0.3")).err(), Some(NoPlace::Full(3)));
        drop((first, second, other));
        let taken = places.taken.lock().expect("nobody panicked");
        assert!(taken.count == 0 && taken.by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.2", false),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(
                neighbourhood(ip(one)) == neighbourhood(ip(other)),
                same,
                "{one} {other}"
            );
        }
    }
}
