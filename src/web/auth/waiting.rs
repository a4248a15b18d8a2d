//! The places of those who wait for their password to be hashed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// How many logins may wait. At the usual cost of a hash, the last of them waits two seconds or so; who comes
/// later is better told to come again.
pub(super) const MOST: usize = 32;

/// How many of them may come from one address, so that it can't keep the others out.
pub(super) const MOST_FROM_ONE: usize = MOST / 2;

/// The places. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    taken: usize,
    from: HashMap<IpAddr, usize>,
}

impl Waiting {
    /// Takes a place for somebody at `peer`, or for somebody who can't be told from others. It is held until it is
    /// dropped.
    pub(super) fn take(&self, peer: Option<IpAddr>) -> Option<Place> {
        let from = peer.map(site);
        self.with(|state| {
            let most = |from| state.from.get(&from).copied() >= Some(MOST_FROM_ONE);
            if state.taken >= MOST || from.is_some_and(most) {
                return None;
            }
            state.taken += 1;
            if let Some(from) = from {
                *state.from.entry(from).or_default() += 1;
            }
            Some(Place {
                waiting: self.clone(),
                from,
            })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One of the places.
pub(super) struct Place {
    waiting: Waiting,
    from: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.with(|state| {
            state.taken -= 1;
            let Some(from) = self.from else { return };
            let left = state.from.get(&from).copied().unwrap_or_default();
            if left > 1 {
                state.from.insert(from, left - 1);
            } else {
                state.from.remove(&from);
            }
        });
    }
}

/// What one client is given by its network: an address of IPv4, or 64 bits of IPv6.
fn site(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_half_of_the_places_and_all_together_take_all() {
        let waiting = Waiting::default();
        let take = |address: &str| waiting.take(Some(address.parse().unwrap()));
        let mut first: Vec<_> = (0..MOST_FROM_ONE)
            .map(|_| take("192.0.2.1").unwrap())
            .collect();
        assert!(take("192.0.2.1").is_none());
        assert!(take("::ffff:192.0.2.1").is_none());
        let other: Vec<_> = (0..MOST_FROM_ONE)
            .map(|number| take(&format!("2001:db8::{number}")).unwrap())
            .collect();
        assert!(take("2001:db8::ffff").is_none());
        assert!(take("192.0.2.2").is_none() && waiting.take(None).is_none());
        first.pop();
        assert!(take("2001:db8::ffff").is_none());
        let newcomer = waiting.take(None).unwrap();
        assert!(take("192.0.2.1").is_none());
        drop((first, other, newcomer));
        let state = waiting.0.lock().unwrap();
        assert!(state.taken == 0 && state.from.is_empty());
    }
}
