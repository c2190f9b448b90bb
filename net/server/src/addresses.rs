//! How many connections each address has, and may have: Kafka's `max.connections.per.ip` and its
//! overrides. Looked at when a connection comes and when it ends, never in between.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of a node by the address that they came from.
#[derive(Default)]
pub(crate) struct Addresses {
    /// Of an address that has no number of its own; `None`: without bound.
    connections_max: Option<usize>,
    overrides: BTreeMap<IpAddr, usize>,
    open: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A connection that counts for its address until this is dropped.
pub(crate) struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

/// An address has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} has {connections_max} connections, as many as max.connections.per.ip (or its \
     overrides) allow: one more is turned away"
)]
pub(crate) struct TooManyOfAddress {
    address: IpAddr,
    connections_max: usize,
}

impl Addresses {
    /// With a number for every address, and others for some.
    pub(crate) fn new(
        connections_max: Option<usize>,
        overrides: BTreeMap<IpAddr, usize>,
    ) -> Addresses {
        let overrides = overrides.into_iter();
        Addresses {
            connections_max,
            overrides: overrides
                .map(|(address, connections_max)| (address.to_canonical(), connections_max))
                .collect(),
            open: Mutex::default(),
        }
    }

    /// Counts a connection from that address. An IPv4 address is the same by either protocol.
    pub(crate) fn take_place(
        self: &Arc<Addresses>,
        from: IpAddr,
    ) -> Result<Place, TooManyOfAddress> {
        let address = from.to_canonical();
        let max = self.overrides.get(&address).copied();
        let max = max.or(self.connections_max);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        match max {
            Some(connections_max) if count >= connections_max => Err(TooManyOfAddress {
                address,
                connections_max,
            }),
            _ => {
                open.insert(address, count + 1);
                Ok(Place {
                    addresses: self.clone(),
                    address,
                })
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = &self.addresses.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&self.address).copied().unwrap_or(0);
        if count > 1 {
            open.insert(self.address, count - 1);
        } else {
            open.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_as_many_places_as_it_may_and_gets_them_back() {
        let addresses = Arc::new(Addresses::new(Some(2), BTreeMap::new()));
        let first = addresses.take_place(ip("10.0.0.1")).unwrap();
        let _second = addresses.take_place(ip("::ffff:10.0.0.1")).unwrap();
        let refused = addresses.take_place(ip("10.0.0.1")).err().unwrap();
        assert!(refused.to_string().contains("10.0.0.1 has 2"), "{refused}");
        let _other = addresses.take_place(ip("10.0.0.2")).unwrap();
        drop(first);
        let again = addresses.take_place(ip("10.0.0.1"));
        assert!(again.is_ok());
    }

    #[test]
    fn an_override_goes_before_the_number_for_all_and_none_is_without_bound() {
        let overrides = BTreeMap::from([(ip("10.0.0.1"), 1), (ip("::1"), 0)]);
        let addresses = Arc::new(Addresses::new(None, overrides));
        let _one = addresses.take_place(ip("10.0.0.1")).unwrap();
        assert!(addresses.take_place(ip("10.0.0.1")).is_err());
        assert!(addresses.take_place(ip("::1")).is_err());
        let many: Vec<_> = (0..1000)
            .map(|_| addresses.take_place(ip("10.0.0.2")))
            .collect();
        assert!(many.iter().all(Result::is_ok));
        drop(many);
        let open = addresses.open.lock().unwrap();
        assert_eq!(open.len(), 1, "an address without connections is forgotten");
    }
}
