//! Which connections are kept. Pure.
//!
//! Any client can connect. As long as there is room all connections are kept; then a new one takes
//! the place of one that has shown less: first of those from which nothing was heard, then of those
//! whose clients have not said which user they are, each time the oldest one of the address that
//! has most of them. Connections whose client is known are never closed for others.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Names a connection as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u64);

/// What is known of a connection's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Silent,
    Heard,
    Known,
}

/// All connections of a listener.
pub(crate) struct Table {
    max: usize,
    next: u64,
    connections: HashMap<Id, (IpAddr, Standing)>,
    silent: Strangers,
    heard: Strangers,
}

/// Connections that may be closed, by address.
#[derive(Default)]
struct Strangers {
    by_address: HashMap<IpAddr, BTreeSet<Id>>,
    /// How many each address has.
    counts: BTreeSet<(usize, IpAddr)>,
}

impl Table {
    pub(crate) fn new(max: usize) -> Table {
        Table {
            max: max.max(1),
            next: 0,
            connections: HashMap::new(),
            silent: Strangers::default(),
            heard: Strangers::default(),
        }
    }

    /// A new connection, and the one that must be closed for it. `None`: there is no room.
    pub(crate) fn open(&mut self, from: IpAddr) -> Option<(Id, Option<Id>)> {
        let closed = match self.connections.len() < self.max {
            true => None,
            false => Some(self.shed()?),
        };
        let id = Id(self.next);
        self.next += 1;
        let address = source(from);
        self.connections.insert(id, (address, Standing::Silent));
        self.silent.insert(address, id);
        Some((id, closed))
    }

    /// The connection that goes first; it is forgotten.
    pub(crate) fn shed(&mut self) -> Option<Id> {
        let id = self.silent.first().or_else(|| self.heard.first())?;
        self.close(id);
        Some(id)
    }

    /// Its client has said something.
    pub(crate) fn heard(&mut self, id: Id) {
        let Some((address, standing @ Standing::Silent)) = self.connections.get_mut(&id) else { return };
        *standing = Standing::Heard;
        self.silent.remove(*address, id);
        self.heard.insert(*address, id);
    }

    /// Its client is known.
    pub(crate) fn known(&mut self, id: Id) {
        let Some((address, standing)) = self.connections.get_mut(&id) else { return };
        let (address, before) = (*address, std::mem::replace(standing, Standing::Known));
        if let Some(strangers) = self.strangers(before) {
            strangers.remove(address, id);
        }
    }

    /// It has ended.
    pub(crate) fn close(&mut self, id: Id) {
        let Some((address, standing)) = self.connections.remove(&id) else { return };
        if let Some(strangers) = self.strangers(standing) {
            strangers.remove(address, id);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    fn strangers(&mut self, standing: Standing) -> Option<&mut Strangers> {
        match standing {
            Standing::Silent => Some(&mut self.silent),
            Standing::Heard => Some(&mut self.heard),
            Standing::Known => None,
        }
    }
}

impl Strangers {
    fn insert(&mut self, address: IpAddr, id: Id) {
        let ids = self.by_address.entry(address).or_default();
        self.counts.remove(&(ids.len(), address));
        ids.insert(id);
        self.counts.insert((ids.len(), address));
    }

    fn remove(&mut self, address: IpAddr, id: Id) {
        let Some(ids) = self.by_address.get_mut(&address) else { return };
        self.counts.remove(&(ids.len(), address));
        ids.remove(&id);
        match ids.len() {
            0 => drop(self.by_address.remove(&address)),
            left => drop(self.counts.insert((left, address))),
        }
    }

    /// The oldest one of the address that has most.
    fn first(&self) -> Option<Id> {
        let (_, address) = self.counts.last()?;
        self.by_address.get(address)?.first().copied()
    }
}

/// Where a connection comes from: a client with an IPv6 address has all those that differ in the
/// last half only.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn opened(table: &mut Table, from: &str) -> Id {
        let (id, closed) = table.open(ip(from)).unwrap();
        assert_eq!(closed, None);
        id
    }

    #[test]
    fn silent_clients_are_dropped_first_then_unknown_ones() {
        let mut table = Table::new(4);
        let ids: Vec<Id> = (0..4).map(|_| opened(&mut table, "10.0.0.1")).collect();
        table.heard(ids[0]);
        table.known(ids[1]);
        let closed = |table: &mut Table| table.open(ip("10.0.0.1")).map(|(id, closed)| (id, closed.unwrap()));
        let (fifth, gone) = closed(&mut table).unwrap();
        assert_eq!(gone, ids[2]);
        table.known(fifth);
        let (sixth, gone) = closed(&mut table).unwrap();
        assert_eq!(gone, ids[3]);
        table.known(sixth);
        let (seventh, gone) = closed(&mut table).unwrap();
        assert_eq!(gone, ids[0]);
        table.known(seventh);
        assert!(table.open(ip("10.0.0.2")).is_none(), "nobody known is closed for somebody else");
        table.close(sixth);
        opened(&mut table, "10.0.0.2");
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn the_address_that_has_most_loses_first() {
        let mut table = Table::new(6);
        let honest = opened(&mut table, "10.0.0.1");
        let first = opened(&mut table, "10.0.0.9");
        for _ in 0..4 {
            opened(&mut table, "10.0.0.9");
        }
        let (_, closed) = table.open(ip("10.0.0.2")).unwrap();
        assert_eq!(closed, Some(first));
        for _ in 0..100 {
            assert_ne!(table.open(ip("10.0.0.9")).unwrap().1, Some(honest));
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff:2")));
        assert_ne!(source(ip("2001:db8::1")), source(ip("2001:db8:0:1::1")));
        assert_eq!(source(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }

    #[test]
    fn what_ended_is_forgotten() {
        let mut table = Table::new(2);
        let (a, b) = (opened(&mut table, "10.0.0.1"), opened(&mut table, "10.0.0.2"));
        table.heard(b);
        table.close(a);
        table.close(b);
        // What is said of a connection that has ended changes nothing.
        table.heard(a);
        table.known(b);
        table.close(a);
        assert_eq!((table.len(), table.shed()), (0, None));
        assert!(table.silent.by_address.is_empty() && table.heard.by_address.is_empty());
        assert!(table.silent.counts.is_empty() && table.heard.counts.is_empty());
    }
}
