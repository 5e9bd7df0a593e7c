//! Which addresses pods have: each node's part of 10.42.0.0/16, given out as the CNI plugin `host-local` does it
//! (`plugins/ipam/host-local/backend/allocator`).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The bridge of a node (`cni0`); it is no pod's.
pub(super) const BRIDGE: u8 = 1;
const LAST: u8 = 254;

/// What is given out of one node's range.
#[derive(Debug, Default)]
pub(super) struct Leases {
    taken: BTreeSet<u8>,
    /// The last one that was reserved, whether it still is or not: the search goes on after it.
    last: Option<u8>,
}

impl Leases {
    /// Reserves an address of the node's range. Returns its last octet.
    pub(super) fn reserve(&mut self, node: u8) -> Result<u8, String> {
        let start = self.last.map_or(BRIDGE, |last| if last >= LAST { BRIDGE } else { last + 1 });
        let order = (start..=LAST).chain(BRIDGE..start);
        let free = order.into_iter().find(|host| *host != BRIDGE && !self.taken.contains(host));
        let (first, last) = (address(node, BRIDGE), address(node, LAST));
        let host = free.ok_or_else(|| format!("no IP addresses available in range set: {first}-{last}"))?;
        self.taken.insert(host);
        self.last = Some(host);
        Ok(host)
    }

    pub(super) fn release(&mut self, host: u8) {
        self.taken.remove(&host);
    }
}

/// A pod's address.
pub(super) fn address(node: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 42, node, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round() {
        let mut leases = Leases::default();
        assert_eq!((leases.reserve(0), leases.reserve(0)), (Ok(2), Ok(3)));
        leases.release(2);
        assert_eq!(leases.reserve(0), Ok(4), "one that is free again waits for its turn");
        let rest: Vec<_> = (5..=LAST).map(|_| leases.reserve(0).unwrap()).collect();
        assert_eq!(rest.last(), Some(&LAST));
        assert_eq!(leases.reserve(0), Ok(2));
        assert_eq!(leases.reserve(0).unwrap_err(), "no IP addresses available in range set: 10.42.0.1-10.42.0.254");
        leases.release(100);
        assert_eq!(leases.reserve(0), Ok(100));
    }
}
